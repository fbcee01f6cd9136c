//! The rooms on a real database, billing through the simulated provider with faults on demand.

mod by_hand;
mod claims;
mod crashes;
mod customers;
mod faults;
mod inbound;
mod offers;
mod refunds;
mod stripe;
mod subscriptions;
mod syncs;
mod world;

use faults::Fault;
