//! Workflows: the logic of a flow, a graph from its trigger to an end. Publishing checks the graph (`graph.rs`) and pins
//! every template at its published version; the engine walks it.

mod graph;
mod model;

pub use graph::check;
pub use model::{
    Branch, EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent, WorkflowHead,
};
