//! The clock of test mode: a company's own, ahead of the machine's by as much as it was moved. [`Clocks`] says what it
//! shows, wherever a rule asks for the time of a company; [`TestClocks`] moves it; [`Passing`] lets happen what has become
//! due, there and in live mode. What goes by it and what does not stands in `docs/simulator.md`.

mod clocks;
mod model;
mod ops;
mod pass;
mod rpc;
mod store;

pub use clocks::Clocks;
pub use model::TestClock;
pub use ops::{TestClocks, To};
pub use pass::Passing;
pub(crate) use rpc::Rpc;
