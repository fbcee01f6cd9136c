//! Rules over what is known of a customer and what the customer answered: who sees a piece, which way a flow goes.

mod model;
pub mod rpc;

pub use model::{DEEPEST, Op, Rule, Value};
