//! Where customers are reached: address, name and language, as billing tells them; gone when they are erased.

mod model;
mod store;

pub use model::Contact;
pub use store::ContactStore;
