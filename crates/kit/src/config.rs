//! Settings: a typed struct per service, read once from flags and environment, refused when something is unknown.

use anyhow::bail;
use clap::{Args, CommandFactory, Parser};
use secrecy::SecretString;

/// Every variable of ours begins with this; one that no setting knows stops the start.
pub const PREFIX: &str = "RETENTION_";

/// What every process needs.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where to listen, gRPC and HTTP alike.
    #[arg(long, env = "RETENTION_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// The Ed25519 seed (32 bytes, base64url) this process signs inner tokens with.
    #[arg(long, env = "RETENTION_INNER_KEY", hide_env_values = true)]
    pub inner_key: SecretString,
    /// Public keys (base64url, comma-separated) of the other processes that may call, beside the own one.
    #[arg(long, env = "RETENTION_INNER_TRUSTED", value_delimiter = ',')]
    pub inner_trusted: Vec<String>,
    /// Which log lines to write, as `tracing` filters read it.
    #[arg(long, env = "RETENTION_LOG", default_value = "info")]
    pub log: String,
    /// OTLP collector for traces, such as `http://127.0.0.1:4317`; nothing is exported without it.
    #[arg(long, env = "RETENTION_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// How many seconds a stopping process waits for work under way.
    #[arg(long, env = "RETENTION_DRAIN_SECONDS", default_value_t = 20)]
    pub drain_seconds: u64,
    /// How many seconds the head of a request may take, and a connection may say nothing.
    #[arg(long, env = "RETENTION_HEAD_SECONDS", default_value_t = 30)]
    pub head_seconds: u64,
    /// How many connections are served at once; the next ones wait.
    #[arg(long, env = "RETENTION_MOST_CONNECTIONS", default_value_t = 10_000)]
    pub most_connections: usize,
    #[command(flatten)]
    pub tls: crate::tls::Certificates,
}

/// Where a service keeps its data and hears of the others.
#[derive(Args, Clone, Debug)]
pub struct Data {
    /// MongoDB, a replica set: transactions need one.
    #[arg(long, env = "RETENTION_MONGO_URI", default_value = "mongodb://127.0.0.1:27017/?replicaSet=rs0")]
    pub mongo_uri: String,
    /// What the service's database name starts with; the service's own name follows (`retention_billing`).
    #[arg(long, env = "RETENTION_MONGO_PREFIX", default_value = "retention")]
    pub mongo_prefix: String,
    /// NATS with JetStream.
    #[arg(long, env = "RETENTION_NATS_URL", default_value = "nats://127.0.0.1:4222")]
    pub nats_url: String,
    /// What the names of our streams and subjects start with.
    #[arg(long, env = "RETENTION_NATS_PREFIX", default_value = "ret")]
    pub nats_prefix: String,
}

/// Where a service keeps files.
#[derive(Args, Clone, Debug)]
pub struct Files {
    /// Where files are kept: a folder that every replica of the service sees. Not used where `RETENTION_AZURE_ACCOUNT` names
    /// an account.
    #[arg(long, env = "RETENTION_OBJECTS_DIR", default_value = ".dev/objects")]
    pub objects_dir: std::path::PathBuf,
    /// The account of Azure Blob Storage that files are kept in.
    #[arg(long, env = "RETENTION_AZURE_ACCOUNT", requires_all = ["azure_container", "azure_key"])]
    pub azure_account: Option<String>,
    /// The container in it, which must be there.
    #[arg(long, env = "RETENTION_AZURE_CONTAINER")]
    pub azure_container: Option<String>,
    /// The account's key, base64.
    #[arg(long, env = "RETENTION_AZURE_KEY", hide_env_values = true)]
    pub azure_key: Option<SecretString>,
    /// Another endpoint than Azure's own, such as the emulator's `http://127.0.0.1:10000/devstoreaccount1`.
    #[arg(long, env = "RETENTION_AZURE_ENDPOINT")]
    pub azure_endpoint: Option<String>,
}

/// Reads the settings of a process, and refuses a variable of ours that it does not know.
pub fn load<C: Parser + CommandFactory>() -> anyhow::Result<C> {
    refuse_unknown(&C::command())?;
    Ok(C::parse())
}

/// Refuses a variable of ours that is no setting of this command.
pub fn refuse_unknown(command: &clap::Command) -> anyhow::Result<()> {
    let unknown = unknown_in(command, std::env::vars_os().filter_map(|(k, _)| k.into_string().ok()));
    if let Some(name) = unknown {
        bail!("{name} is not a setting of this process; see --help for those that are");
    }
    Ok(())
}

fn unknown_in(command: &clap::Command, names: impl Iterator<Item = String>) -> Option<String> {
    let known: Vec<_> = command.get_arguments().filter_map(|a| a.get_env()).collect();
    let mut ours = names.filter(|n| n.starts_with(PREFIX));
    ours.find(|n| !known.iter().any(|k| *k == n.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Parser)]
    struct Settings {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn a_variable_nobody_knows_is_named() {
        let names = ["PATH", "RETENTION_LISTEN", "RETENTION_LISTTEN"].map(String::from);
        assert_eq!(unknown_in(&Settings::command(), names.into_iter()), Some("RETENTION_LISTTEN".into()));
        let parsed = Settings::try_parse_from(["x", "--inner-key", "k"]).unwrap();
        assert_eq!(parsed.common.drain_seconds, 20);
    }
}
