//! Tests on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod cron;
mod grouped;
mod jobs;
mod lease;
mod outbox;
mod repo;
