//! Tests of the service over gRPC, on a real MongoDB and a real NATS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

mod keys;
mod people;
mod rig;
mod sessions;
