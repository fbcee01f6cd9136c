//! Versioned content, once for questionnaires, cards, templates and workflows (§10.4).
//!
//! An *object* holds what people edit: at most one draft, and the version in use. Publishing freezes the draft into a
//! *version*, which is inserted under its hash and never changed; then one conditional write on the object points at it
//! and carries `content.published` and the audit entry. `archived` versions are those that are not pointed at. What was
//! frozen pins what it holds by hash, so a workflow's hash names everything its customers see.

mod diff;
mod model;
mod ops;
mod publish;
pub mod rpc;
mod store;

pub use diff::{Change, changes};
pub use model::{Content, Draft, Frozen, Live, Object, Pin, Published, Refusal, Release, State};
pub use ops::{Objects, View, Which, publishable};
pub use store::{Filter, ObjectStore, StoredObject};
