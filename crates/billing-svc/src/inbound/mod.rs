//! What billing providers tell us. Taken in by one insert and answered at once (`ops.rs`); worked on later, in order
//! for each subscription and abreast across them (`work.rs`). An event only says where to look: what holds is read
//! from the provider, so that late, doubled and unordered events leave the same state.

mod model;
mod ops;
mod rpc;
pub(crate) mod store;
mod work;

pub use model::{Event, State};
pub use ops::{Call, Inbound};
pub(crate) use rpc::Rpc;
pub use work::Worker;
