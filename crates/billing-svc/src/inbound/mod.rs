//! What billing providers tell us. Taken in by one insert and answered at once (`ops.rs`); worked on later, in order
//! for each subscription and abreast across them (`work.rs`). An event only says where to look: what holds is read
//! from the provider, so that late, doubled and unordered events leave the same state. What never arrives is asked for
//! (`gaps.rs`).

mod gaps;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;
mod work;

pub use gaps::Gaps;
pub use model::{About, Event, State};
pub use ops::{Call, Inbound, Lag, REPLAYED_AT_ONCE};
pub(crate) use rpc::Rpc;
pub use store::Filter;
pub use work::{Whose, Worker};
