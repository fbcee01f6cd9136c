//! End customers: the core record, kept up by the company's own word, the provider's and what follows from the
//! subscriptions; and their attributes. E-mail and name are personal: masked for whoever may not see them.

mod bulk;
mod erasure;
mod import;
mod lifetime;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use import::Imported;
pub use model::{
    Attribute, Customer, Definition, EXTERNAL, Said, Source, State, Type, attribute_faults, name_of,
};
pub use ops::{Customers, Definitions, Via};
pub(crate) use rpc::{Rpc, customer_to, state_from};
pub use store::Filter;
