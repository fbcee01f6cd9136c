//! Identity's part of a privacy request. It keeps nothing of customers but what the audit trail says of writes about them:
//! who wrote what and when, by ids. The trail is a chain that shows whether anybody changed it, so nothing of it is taken
//! out; services leave names and addresses out of what they tell it.

mod ops;
mod store;

pub use ops::IdentityHolder;
