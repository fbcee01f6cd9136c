//! Settings of notify.

use std::path::PathBuf;

use clap::Parser;
use kit::SecretString;

#[derive(Clone, Debug, Parser)]
#[command(name = "notify-svc", version, about = "Notifications and mail")]
pub struct Config {
    #[command(flatten)]
    pub common: kit::config::Common,
    #[command(flatten)]
    pub data: kit::config::Data,
    /// identity-svc.
    #[arg(long, env = "RETENTION_IDENTITY_ADDR", default_value = "http://127.0.0.1:7401")]
    pub identity_addr: String,
    /// The mail server, such as `smtps://user:password@mail.example.com`; with `smtp://…?tls=required` for STARTTLS.
    /// Plain `smtp://` is accepted for the own machine only. Without it, mails become files.
    #[arg(long, env = "RETENTION_SMTP_URL", hide_env_values = true)]
    pub smtp_url: Option<SecretString>,
    /// Where mails become files (`.eml`) when there is no mail server.
    #[arg(long, env = "RETENTION_MAIL_DIR", default_value = ".dev/mail")]
    pub mail_dir: PathBuf,
    /// Whom mails are from.
    #[arg(long, env = "RETENTION_MAIL_FROM", default_value = "Retention Stack <no-reply@localhost>")]
    pub mail_from: String,
    /// How people reach the dashboard; links in mails begin with it.
    #[arg(long, env = "RETENTION_PUBLIC_URL", default_value = "http://127.0.0.1:7400")]
    pub public_url: String,
    /// The monthly value, in minor units, from which on admins hear of a customer's cancel session.
    #[arg(long, env = "RETENTION_HIGH_VALUE_MINOR", default_value_t = 10_000)]
    pub high_value_minor: i64,
}
