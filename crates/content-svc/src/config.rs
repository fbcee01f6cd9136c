//! Settings of the content service.

use clap::Parser;

/// Settings, from flags or the environment.
#[derive(Clone, Debug, Parser)]
pub struct Config {
    #[command(flatten)]
    pub common: kit::config::Common,
    #[command(flatten)]
    pub data: kit::config::Data,
    #[command(flatten)]
    pub files: kit::config::Files,
    /// Where billing-svc answers: offers, subscriptions, redemptions.
    #[arg(long, env = "RETENTION_BILLING_ADDR", default_value = "http://127.0.0.1:7402")]
    pub billing_addr: String,
    /// Where analytics-svc answers: what is known of a customer.
    #[arg(long, env = "RETENTION_ANALYTICS_ADDR", default_value = "http://127.0.0.1:7404")]
    pub analytics_addr: String,
    /// Where identity-svc answers: companies and their public keys.
    #[arg(long, env = "RETENTION_IDENTITY_ADDR", default_value = "http://127.0.0.1:7401")]
    pub identity_addr: String,
    /// Where customers' browsers reach the gateway: links to hosted pages begin with it.
    #[arg(long, env = "RETENTION_PUBLIC_URL", default_value = "http://127.0.0.1:7400")]
    pub public_url: String,
    /// How many days a visit in which a customer said to cancel is kept as evidence after an erasure, without the person,
    /// where no rule of a region came with it.
    /// 0 keeps none.
    #[arg(long, env = "RETENTION_EVIDENCE_DAYS", default_value_t = 1_095, value_parser = clap::value_parser!(u32).range(0..=3_650))]
    pub evidence_days: u32,
}
