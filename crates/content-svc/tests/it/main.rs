//! The rooms of content on a real database.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod authoring;
mod demo;
mod durable;
mod files;
mod flow;
mod hosted;
mod media;
mod previews;
mod privacy;
mod regions;
mod responses;
mod runs;
mod runs_by_hand;
mod runs_of_flows;
mod service;
mod shapes;
mod verification;
mod versions;
mod viewer;
mod world;
