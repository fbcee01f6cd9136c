//! The standing holdout: one per company and mode, a share of customers kept out of offers, drawn by a sticky hash.

mod ops;
mod rpc;
mod store;

pub use ops::Holdouts;
pub use rpc::Rpc;
pub use store::HoldoutStore;
