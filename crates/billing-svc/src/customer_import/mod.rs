//! Customers by file. A file is spooled to the object store while it is hashed, then a job reads it, a chunk in memory at a
//! time, and notes how far it got: after a crash it goes on from there. Rows are upserts by external id, so that one
//! written twice is written once. The same file with the same mapping is imported once.

mod intake;
mod mapping;
mod model;
mod ops;
mod reader;
mod rpc;
pub(crate) mod store;

pub use mapping::{Mapping, Target};
pub use model::{Import, RowFault, State};
pub use ops::{Head, Imports, KIND};
pub use reader::{Rows, Unreadable};
pub(crate) use rpc::Rpc;
