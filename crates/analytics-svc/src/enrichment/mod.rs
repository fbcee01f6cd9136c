//! Derived facts as people and keys read them: each with its source and its age. They are worked out in `facts`.

mod rpc;

pub use rpc::Rpc;
