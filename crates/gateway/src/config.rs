//! Settings of the gateway.

use clap::Parser;

#[derive(Clone, Debug, Parser)]
#[command(
    name = "gateway",
    version,
    about = "The only public door: checks the caller and forwards to the services"
)]
pub struct Config {
    #[command(flatten)]
    pub common: kit::config::Common,
    /// MongoDB for idempotency answers, the gateway's only data; NATS to hear what changed.
    #[command(flatten)]
    pub data: kit::config::Data,
    /// Where identity-svc is.
    #[arg(long, env = "RETENTION_IDENTITY_ADDR", default_value = "http://127.0.0.1:7401")]
    pub identity_addr: String,
    /// Where billing-svc is.
    #[arg(long, env = "RETENTION_BILLING_ADDR", default_value = "http://127.0.0.1:7402")]
    pub billing_addr: String,
    /// Where content-svc is.
    #[arg(long, env = "RETENTION_CONTENT_ADDR", default_value = "http://127.0.0.1:7403")]
    pub content_addr: String,
    /// Where analytics-svc is.
    #[arg(long, env = "RETENTION_ANALYTICS_ADDR", default_value = "http://127.0.0.1:7404")]
    pub analytics_addr: String,
    /// Where notify-svc is.
    #[arg(long, env = "RETENTION_NOTIFY_ADDR", default_value = "http://127.0.0.1:7405")]
    pub notify_addr: String,
    /// Origins of browsers that may call, comma-separated, such as `https://app.example.com`.
    #[arg(long, env = "RETENTION_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Networks of the proxies in front of us, such as `10.0.0.0/8`, comma-separated: only they are believed when they say in
    /// `X-Forwarded-For` whose request it is.
    #[arg(long, env = "RETENTION_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// A folder with the build of a dashboard, served at `/`.
    #[arg(long, env = "RETENTION_UI_DIR")]
    pub ui_dir: Option<std::path::PathBuf>,
    /// Multiplies every rate limit; load tests turn it up.
    #[arg(long, env = "RETENTION_RATE_SCALE", default_value_t = 1)]
    pub rate_scale: u32,
    /// clamd, which looks for malware in uploaded files, such as `127.0.0.1:3310`; without it nobody does. Its
    /// `StreamMaxLength` must be at least 200 MB.
    #[arg(long, env = "RETENTION_CLAMD_ADDR")]
    pub clamd_addr: Option<String>,
    /// Files go through unscanned while clamd does not answer; else they are refused.
    #[arg(long, env = "RETENTION_CLAMD_OPTIONAL", default_value_t = false, action = clap::ArgAction::Set)]
    pub clamd_optional: bool,
    /// How many seconds a request may take.
    #[arg(long, env = "RETENTION_REQUEST_SECONDS", default_value_t = 30)]
    pub request_seconds: u64,
}
