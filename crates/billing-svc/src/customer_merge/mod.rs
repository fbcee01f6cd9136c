//! Two records that are one person. The absorbed record is kept under its id, shown to nobody, and answers with the
//! survivor; what each gave is written down, so that a merge can be taken back within 30 days. What came after the merge
//! stays with the survivor then. Rules: `model.rs`.

mod model;
mod ops;
mod plan;
mod rpc;
pub(crate) mod store;

pub use model::{Merge, Taken, part, unite};
pub use ops::{Merged, Merges, Pair};
pub(crate) use rpc::Rpc;

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
