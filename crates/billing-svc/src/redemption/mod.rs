//! Redemptions: one customer taking up one offer. Claimed before money moves, verified by reading back; nothing else
//! in the system may call a provider to grant something. States: `model.rs`. The way from claim to end, which anybody
//! may walk on after a crash: `drive.rs`.

mod drive;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use model::{NoWay, Redemption, State};
pub use ops::Redemptions;
pub(crate) use rpc::{Rpc, redemption_from_state, redemption_to};
