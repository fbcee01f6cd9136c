//! Workflows: the logic of a flow, a graph from its trigger to an end. Publishing checks the graph (`graph.rs`) and pins
//! every template at its published version; the engine walks it.

#[cfg(test)]
mod background_tests;
mod check;
mod convert;
mod file;
mod file_read;
#[cfg(test)]
mod file_tests;
mod graph;
#[cfg(test)]
pub(crate) mod graph_tests;
mod import;
mod model;
mod node;
mod ops;
pub mod rpc;
mod uses;

pub use check::{Page, check};
#[cfg(test)]
pub(crate) use graph::check as fit_to_publish;
pub use import::Imported;
pub use model::{
    Branch, EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent, WorkflowHead,
};
pub use node::{Action, Deed, Mail, Split, Tag, Wait};
pub use ops::Workflows;
pub use uses::{Use, Used};
