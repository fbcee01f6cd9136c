//! Looking at a workflow: its graph, laid out (`layout.rs`) and drawn (`svg.rs`), how customers went through it, and how
//! somebody would. Reads and thinks; changes nothing, counts nothing.

mod heat;
mod layout;
mod ops;
pub mod rpc;
mod svg;

pub use heat::{Heat, Passage};
pub use layout::{Drawn, Edge, Picture, layout};
pub use ops::{Played, Sample, WorkflowViewer};
pub(crate) use rpc::made_up;
pub use svg::svg;
