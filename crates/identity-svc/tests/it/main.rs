//! Tests of the service over gRPC, on a real MongoDB and a real NATS.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod audit;
mod config;
mod faults;
mod keys;
mod lifecycle;
mod onboarding;
mod people;
mod rig;
mod sessions;
mod sso;
mod sso_alone;
mod sso_sync;
