//! Rule trees over what is known of a customer: what a rule is, whether it holds and why, and the same as a MongoDB
//! expression. The two evaluators must agree; `tests/rules.rs` holds them together.

mod compile;
mod eval;
mod model;

pub use compile::expression;
pub use eval::{explain, holds};
pub use model::{EventCounts, Facts, Op, Operand, Rule, Value, Wrong, event_key};
