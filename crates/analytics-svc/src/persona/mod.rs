//! Personas: segments of customers with a name people use, by rules over what is known of each.
//!
//! Who is in which is kept with the customer. It follows a customer's events at once, and a full refresh inside the
//! database catches what the passing of time and a changed rule did.

mod board;
mod category;
mod model;
mod ops;
mod refresh;
mod rpc;
mod rules_proto;
mod store;

pub use board::Boards;
pub use category::Categories;
pub use model::{Board, Category, Change, GuardRails, Persona, Refresh, Seat, Standing, Status, Tally};
pub use ops::Personas;
pub use refresh::{KIND, Refreshes};
pub use rpc::Rpc;
pub use rules_proto::wire;
pub use store::PersonaStore;
