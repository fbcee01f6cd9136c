//! The rooms on a real database, billing through the simulated provider with faults on demand.

mod by_hand;
mod chargebee;
mod claims;
pub mod crashes;
mod customers;
mod drift;
pub mod faults;
mod files;
mod gaps;
mod inbound;
mod mended;
mod merges;
mod offers;
mod privacy;
mod recovery;
mod recurly;
mod refunds;
mod secrets;
mod stripe;
mod subscriptions;
mod syncs;
mod test_clock;
mod timelines;
pub mod world;

use faults::Fault;
