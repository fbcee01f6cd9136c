//! The rooms on a real database, billing through the simulated provider with faults on demand.

mod by_hand;
mod claims;
mod crashes;
mod customers;
mod faults;
mod files;
mod inbound;
mod merges;
mod offers;
mod stripe;
mod subscriptions;
mod syncs;
mod timelines;
mod world;

use faults::Fault;
