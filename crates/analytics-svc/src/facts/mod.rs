//! One document per customer: what other services told us, the facts that follow from it, and the personas these put
//! the customer in. Fed by events; read by the cancel flow in one call.

mod model;
mod ops;
mod rpc;
mod store;

pub use model::{
    Aside, Customer, Dated, Derived, FlowEnd, Known, Membership, Moves, PastMembership, Profile, Raw,
    Returned, Subscription, Told, derive, fact_key, flatten,
};
pub use ops::{Customers, Joined, Seen};
pub use rpc::Rpc;
pub use store::{CustomerStore, Write};
