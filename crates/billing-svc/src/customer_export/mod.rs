//! Customers as a file, CSV or JSON lines: written to the object store by a job, a page in memory at a time, and fetched
//! from there within a day. Who asked for one and who fetched it stands in the audit trail.

mod file;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use model::{Export, Format, State, Wanted};
pub use ops::{Exports, KIND};
pub(crate) use rpc::Rpc;
