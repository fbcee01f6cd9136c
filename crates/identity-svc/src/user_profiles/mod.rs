//! User profiles: the people of the dashboard, and the place each has in a company.

mod address;
mod model;
mod ops;
mod rpc;
mod store;

pub use address::admitted;
pub use model::{Member, Permissions, Person, ProfileChange, Status, email_key, is_email};
pub use ops::People;
pub(crate) use rpc::{Rpc, permissions_from, permissions_to, role_from, role_to};
pub use store::PeopleStore;
