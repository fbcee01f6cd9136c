//! What happened with a customer, composed from the events of all services. An entry is kept once per event and customer,
//! under a name that sorts by when it happened, and holds nothing personal.

mod events;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use events::{Ears, FAMILIES, NAME};
pub use model::{Entry, Kind, Told};
pub use ops::Timeline;
pub(crate) use rpc::Rpc;
