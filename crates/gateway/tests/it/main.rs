//! The door, tried from outside: every operation of the protos, in front of upstreams that count what reaches them.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod bad_input;
mod browser;
mod conditional;
mod credentials;
mod documents;
mod forged;
mod idempotency;
mod json;
mod limits;
mod live;
mod media;
mod nats;
mod pages;
mod scan;
mod shared;
mod upload;
mod world;
