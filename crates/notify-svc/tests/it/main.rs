//! notify on a real database: what it hears, whom it tells, and how mails go out.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod mails;
mod notifications;
mod privacy;
mod sending;
mod world;
