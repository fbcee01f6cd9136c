//! Journeys through the whole system, over real gRPC and HTTP, on real servers.

mod faults;
mod world;
