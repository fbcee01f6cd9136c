//! Figures, as plain functions.

mod draw;
mod rate;

pub use draw::drawn;
pub use rate::{LEAST, Rate};
