//! What tests of several crates share: databases of their own on real servers, clocks to move, fakes of what belongs to
//! somebody else.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot be set up should say so and stop"
)]

pub mod chargebee;
mod described;
mod line;
pub mod recurly;
mod replicas;
mod search;
mod servers;
mod shell;
pub mod stripe;
pub mod workos;

pub use line::Line;
pub use replicas::Replicas;
pub use search::{holding, relayed};
pub use servers::{TestDb, clock, data, eventually, mongo, ports, within};
pub use shell::Shell;
