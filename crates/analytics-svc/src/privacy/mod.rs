//! Analytics' part of a privacy request: what is known of somebody, what they did, and what rows about their usage say.

mod ops;
mod store;

pub use ops::AnalyticsHolder;
