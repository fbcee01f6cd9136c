//! Connections to billing providers: keys sealed and tested before they are stored, what the provider can do, and the
//! sync that reads everything into the mirror and goes on where it was interrupted. Once everything was read a sync of
//! everything also compares: what has drifted is repaired and said.

mod model;
mod ops;
pub mod rotate;
mod rpc;
pub(crate) mod store;
mod sync;

pub use model::{Connection, Drift, DriftKind, Drifted, Status, Sync, SyncState, Watch};
pub use ops::{Addresses, Connections, Keys, Opener};
pub(crate) use rpc::Rpc;
pub use sync::Syncs;
