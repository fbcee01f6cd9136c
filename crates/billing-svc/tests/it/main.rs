//! Tests of the service against real servers and fakes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "a test that cannot go on should stop and say where"
)]

mod chargebee;
mod chargebee_sdk;
mod histories;
mod killed;
mod localstripe;
mod provider_contract;
mod provider_contract_money;
mod provider_contract_told;
mod recurly;
mod recurly_prism;
mod recurly_sdk;
mod rooms;
mod rpc;
mod simulated;
mod stripe;
mod stripe_rooms;
