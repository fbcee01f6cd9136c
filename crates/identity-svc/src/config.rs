//! Settings of identity.

use clap::Parser;
use kit::SecretString;

use crate::workos::SignIn;

#[derive(Clone, Debug, Parser)]
#[command(name = "identity-svc", version, about = "Companies, people, sign-in, keys and the audit trail")]
pub struct Config {
    #[command(flatten)]
    pub common: kit::config::Common,
    #[command(flatten)]
    pub data: kit::config::Data,
    /// The keys our own secrets are sealed with: 32 bytes in base64url each, comma-separated. The first one seals, all
    /// open.
    #[arg(
        long,
        env = "RETENTION_SECRETS_KEY",
        value_delimiter = ',',
        required = true,
        hide_env_values = true
    )]
    pub secrets_key: Vec<SecretString>,
    /// The e-mail address of the first operator, made at start when there is none.
    #[arg(long, env = "RETENTION_BOOTSTRAP_ADMIN")]
    pub bootstrap_admin: Option<String>,
    /// How people reach the gateway; links in mails begin with it.
    #[arg(long, env = "RETENTION_PUBLIC_URL", default_value = "http://127.0.0.1:7400")]
    pub public_url: String,
    /// The identity provider: `none` or `workos`.
    #[arg(long, env = "RETENTION_IDENTITY_PROVIDER", default_value = "none", value_parser = ["none", "workos"])]
    pub identity_provider: String,
    /// The API key at WorkOS.
    #[arg(long, env = "RETENTION_WORKOS_API_KEY", hide_env_values = true)]
    pub workos_api_key: Option<SecretString>,
    /// The client id at WorkOS, such as `client_01…`.
    #[arg(long, env = "RETENTION_WORKOS_CLIENT_ID")]
    pub workos_client_id: Option<String>,
    /// The secrets WorkOS signs webhooks with, comma-separated: two while one is being replaced.
    #[arg(long, env = "RETENTION_WORKOS_WEBHOOK_SECRETS", value_delimiter = ',', hide_env_values = true)]
    pub workos_webhook_secrets: Vec<SecretString>,
    /// How people sign in at WorkOS: `authkit`, or `sso` for an environment that uses its single sign-on alone.
    #[arg(long, env = "RETENTION_WORKOS_SIGN_IN", value_enum, default_value_t = SignIn::Authkit)]
    pub workos_sign_in: SignIn,
    /// Where WorkOS is; another address for a custom domain or a fake.
    #[arg(long, env = "RETENTION_WORKOS_URL", default_value = "https://api.workos.com")]
    pub workos_url: String,
    /// Issuers whose access tokens are believed, comma-separated, to the letter.
    #[arg(
        long,
        env = "RETENTION_WORKOS_ISSUERS",
        value_delimiter = ',',
        default_value = "https://api.workos.com,https://api.workos.com/"
    )]
    pub workos_issuers: Vec<String>,
    /// Providers may be called at private addresses. For local runs and tests.
    #[arg(long, env = "RETENTION_PRIVATE_NETWORKS", default_value_t = false, action = clap::ArgAction::Set)]
    pub private_networks: bool,
    /// How many sign-in codes one account may ask for in an hour, as long as no operator has set
    /// `sign_in.codes_per_account`.
    #[arg(long, env = "RETENTION_CODES_PER_ACCOUNT", default_value_t = 12)]
    pub codes_per_account: u32,
    /// How many sign-in calls may come from one address in an hour.
    #[arg(long, env = "RETENTION_SIGN_INS_PER_ADDRESS", default_value_t = 240)]
    pub sign_ins_per_address: u32,
}
