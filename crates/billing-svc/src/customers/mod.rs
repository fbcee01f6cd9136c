//! End customers: the core record, kept up by the company's own word, the provider's and what follows from the
//! subscriptions; and their attributes. E-mail and name are personal: masked for whoever may not see them.

mod bulk;
mod import;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use import::Imported;
pub use model::{Attribute, Customer, Definition, Said, Source, State, Type};
pub use ops::Customers;
pub(crate) use rpc::Rpc;
pub use store::Filter;
