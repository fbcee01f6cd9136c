//! Connections to billing providers: keys sealed and tested before they are stored, what the provider can do, and the
//! sync that reads everything into the mirror and goes on where it was interrupted.

mod model;
mod ops;
mod rpc;
pub(crate) mod store;
mod sync;

pub use model::{Connection, Status, Sync, SyncState};
pub use ops::{Addresses, Connections, Keys, Opener};
pub(crate) use rpc::Rpc;
pub use sync::Syncs;
