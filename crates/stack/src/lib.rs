//! The services in one process, over real gRPC: for the desk, for a small installation, and for tests that need the
//! whole system. A list of constructors, not a second way to assemble a service.

pub mod load;
pub mod parts;
pub mod running;
pub mod serve;

pub use running::{Options, Running, start};
