//! Tests of the service against real servers and fakes.

mod provider_contract;
mod stripe;
