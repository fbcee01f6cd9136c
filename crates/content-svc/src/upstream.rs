//! The services this one asks, and how long it waits for each.

use std::time::Duration;

use kit::caller::Minter;
use kit::client::Upstream;

use crate::config::Config;

/// How long a customer's screen waits for another service before it goes on without the answer.
pub const SCREEN: Duration = Duration::from_millis(1_500);
/// How long a check of the dashboard waits.
pub const CHECK: Duration = Duration::from_secs(3);

/// Connections to the services below this one.
#[derive(Clone)]
pub struct Upstreams {
    pub billing: Upstream,
    pub analytics: Upstream,
    pub identity: Upstream,
}

impl Upstreams {
    pub fn new(config: &Config, minter: &Minter) -> anyhow::Result<Self> {
        Ok(Self {
            billing: Upstream::new("billing-svc", &config.billing_addr, minter.clone())?,
            analytics: Upstream::new("analytics-svc", &config.analytics_addr, minter.clone())?,
            identity: Upstream::new("identity-svc", &config.identity_addr, minter.clone())?,
        })
    }
}
