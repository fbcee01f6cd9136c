//! The outside world: HTTP calls that cannot be led into our own network, checks of what outsiders sign, and the
//! object store. Nothing here knows a feature of ours.

mod answer;
pub mod breaker;
pub mod http;
pub mod net;
pub mod objects;
pub mod pace;
pub mod sas;
pub mod sign;
