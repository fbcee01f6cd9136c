//! The rooms of analytics on a real database.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod events;
mod indexes;
mod merges;
mod personas;
mod privacy;
mod reports;
mod rules;
mod service;
mod usage;
mod work;
mod world;
