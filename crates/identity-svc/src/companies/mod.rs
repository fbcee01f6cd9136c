//! Companies: the tenants, their settings and whether they are in service.

mod model;
mod ops;
mod rpc;
mod store;

pub use model::{Company, Status, Wanted, is_time_zone};
pub use ops::{Companies, belongs};
pub(crate) use rpc::Rpc;
pub use store::CompanyStore;
