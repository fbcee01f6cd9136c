//! Workflow runs (§10.5): a customer's way through a workflow with nobody looking on, and the actions that a flow with a
//! customer asks for. What a run does next is decided by `stride.rs`, a plain function; a worker writes it down
//! (`work.rs`). What a node does outside is keyed by run, node and visit. A mail rides in the write that says it was
//! asked for; a tag is set before that write and is the same when it is set again: so a crash between any two writes
//! does nothing twice.

mod begin;
mod billing;
mod effect;
mod hear;
mod model;
mod occasion;
mod ops;
mod store;
mod stride;
#[cfg(test)]
mod stride_tests;
mod wire;
mod work;

pub use billing::{Carrier, NotDone};
pub use hear::{FAMILIES, Listener, NAME};
pub use model::{Began, Effect, Ended, Errand, RunState, RunVisit, Waiting, WorkflowRun};
pub use occasion::{Occasion, Occasions};
pub use ops::{Start, Started, WorkflowRuns};
pub use store::RunStore;
pub use stride::{Seen, Stride, stride};
pub use wire::to_wire;
