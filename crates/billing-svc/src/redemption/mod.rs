//! Redemptions: one customer taking up one offer. Claimed before money moves, verified by reading back; nothing else
//! in the system may call a provider to grant something. States: `model.rs`. What a claim takes: `claim.rs`. The way from
//! there to the end is decided in `walk.rs` and gone in `drive.rs`; after a crash anybody may walk on.

mod claim;
mod drive;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;
mod walk;

pub use claim::Taken;
pub use model::{NoWay, Redemption, State, presented};
pub use ops::Redemptions;
pub(crate) use rpc::{Rpc, redemption_from_state, redemption_to};
pub use walk::{Next, Told, Trouble, Walk};
