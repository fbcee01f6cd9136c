//! Tests of the service against real servers and fakes.

mod localstripe;
mod provider_contract;
mod simulated;
mod stripe;
