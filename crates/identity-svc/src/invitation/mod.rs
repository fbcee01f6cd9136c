//! Invitations: how people come into a company (§10.10 of the domain).

mod consume;
mod model;
mod ops;
mod rpc;
mod store;

pub use consume::Undelivered;
pub use model::{Invitation, State, Terms};
pub use ops::{Draft, Invitations};
pub(crate) use rpc::Rpc;
pub use store::InvitationStore;
