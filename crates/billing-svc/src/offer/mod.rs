//! Offers: what a company gives so that a customer stays, to whom, how often, and up to which budget. Who may have one
//! is decided in `eligibility.rs`, purely; what is taken of it, and what a customer holds, stands in `ledger.rs`.

mod eligibility;
mod ledger;
mod model;
mod ops;
mod rpc;
pub(crate) mod store;
mod terms;
mod wire;

pub use eligibility::{Facts, Reason, Wanted};
pub use ledger::{Ended, Grant, Ledger, Use, month};
pub use model::{Audience, CodePolicy, Draft, Limits, Offer, Purpose, Stacking, State, hash};
pub use ops::{Ledgers, Offers, Seen};
pub(crate) use rpc::Rpc;
pub use store::Filter;
pub use terms::{Kind, Terms, add_months};
pub(crate) use wire::local_to;

#[cfg(test)]
pub(crate) use model::tests;
