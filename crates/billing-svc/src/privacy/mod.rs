//! Privacy requests: who asked, who attested it, and what every service answered. The request is told to all services over
//! the bus, this one included; each answers with a receipt, and whoever is silent is asked again. What billing itself
//! does with its records is `holder.rs`. States: `model.rs`.

mod events;
mod holder;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;

pub use events::{Ears, NAME};
pub use holder::BillingHolder;
pub use model::{Kind, Receipt, Request, SERVICES, State};
pub use ops::{Asked, PrivacyRequests};
pub(crate) use rpc::Rpc;
