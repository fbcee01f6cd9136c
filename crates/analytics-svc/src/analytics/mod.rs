//! Reports over cancel flows: a read model of sessions, subscriptions' turns and redemptions, kept by events, and the
//! figures over it, each defined once, in `model.rs`.

mod model;
mod ops;
mod rpc;
mod store;

pub use model::{Heard, Overview, Query, Redemption, SessionTold};
pub use ops::Overviews;
pub use rpc::Rpc;
pub use store::{ReportStore, SESSIONS};
