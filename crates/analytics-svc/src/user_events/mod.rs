//! What customers did: taken in by the hundred thousand, each once, counted by personas, listed for people.
//!
//! An event's own id, within its company and mode, is the document's id, so a repetition costs an index look-up and
//! changes nothing. Single events that arrive at the same time are written in one insert; each sender is answered
//! after a majority of the database has its event.

mod model;
mod ops;
mod properties;
mod rpc;
mod store;

pub use model::{Event, NewEvent, Outcome, Rejected};
pub use ops::UserEvents;
pub use rpc::Rpc;
pub use store::{COLLECTION, EventStore, Filter};
