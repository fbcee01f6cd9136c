//! Texts customers read: which languages they are there in, and which values they name as `{{key}}`.

mod model;
pub mod rpc;

pub use model::{Finding, Findings, Format, Level, TextCheck, Variable, placeholders};
