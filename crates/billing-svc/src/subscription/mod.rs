//! Subscriptions as the provider has them. The mirror moves only when the provider says so, by an event or by a
//! read-back; what we ask of the provider goes under a lease, with a key, and counts when it was read back.
//! States and rules: `model.rs`.

mod act;
mod bulk;
mod drift;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use act::Ask;
pub use model::{Action, Reading, State, Subscription, Wish};
pub use ops::{News, Subject, Subscriptions};
pub(crate) use rpc::{Rpc, interval_from, interval_name, interval_to, state_from, state_to_wire};
pub use store::Filter;

#[cfg(test)]
pub(crate) use model::tests;
