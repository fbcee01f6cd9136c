//! Journeys through the whole system, over real gRPC and HTTP, on real servers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

mod faults;
mod world;
