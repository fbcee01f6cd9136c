//! The audit trail: what people and keys wrote, in every service. Entries are added, never changed,
//! and linked to a chain that shows it.

mod chain;
mod consume;
mod export;
mod model;
mod ops;
mod rpc;
mod store;
pub mod verify;

pub use consume::Recorder;
pub use model::{Entry, Search};
pub use ops::Audit;
pub(crate) use rpc::Rpc;
pub use store::AuditStore;
