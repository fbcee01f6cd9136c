//! Settings of billing.

use clap::Parser;
use kit::SecretString;

#[derive(Clone, Debug, Parser)]
#[command(name = "billing-svc", version, about = "Customers, subscriptions, offers and billing providers")]
pub struct Config {
    #[command(flatten)]
    pub common: kit::config::Common,
    #[command(flatten)]
    pub data: kit::config::Data,
    /// identity-svc.
    #[arg(long, env = "RETENTION_IDENTITY_ADDR", default_value = "http://127.0.0.1:7401")]
    pub identity_addr: String,
    /// The keys provider secrets are sealed with: 32 bytes in base64url each, comma-separated. The first one seals, all
    /// open.
    #[arg(
        long,
        env = "RETENTION_SECRETS_KEY",
        value_delimiter = ',',
        required = true,
        hide_env_values = true
    )]
    pub secrets_key: Vec<SecretString>,
    #[command(flatten)]
    pub files: kit::config::Files,
    /// How many days what happened with a customer stays in the timeline.
    #[arg(long, env = "RETENTION_TIMELINE_DAYS", default_value_t = 1_095, value_parser = clap::value_parser!(u32).range(30..=3_650))]
    pub timeline_days: u32,
    /// Another address than Stripe's own, for a fake.
    #[arg(long, env = "RETENTION_STRIPE_URL")]
    pub stripe_url: Option<String>,
    /// Another address than Recurly's own, whatever the region, for a fake.
    #[arg(long, env = "RETENTION_RECURLY_URL")]
    pub recurly_url: Option<String>,
    /// Another address than Chargebee's own, whatever the site, for a fake.
    #[arg(long, env = "RETENTION_CHARGEBEE_URL")]
    pub chargebee_url: Option<String>,
    /// Providers may be called at private addresses. For local runs and tests.
    #[arg(long, env = "RETENTION_PRIVATE_NETWORKS", default_value_t = false, action = clap::ArgAction::Set)]
    pub private_networks: bool,
}
