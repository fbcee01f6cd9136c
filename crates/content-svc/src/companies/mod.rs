//! What content knows of companies: whether they are in service. Told by identity's events; a company nothing was heard
//! of is in service.

mod consume;
mod store;

pub use consume::Listener;
pub use store::Companies;
