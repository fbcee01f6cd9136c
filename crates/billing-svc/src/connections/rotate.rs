//! `billing-svc rotate-secrets`: wraps every provider secret under the newest master key. It may run while the service
//! does and be stopped at any time: what is done is done, and the next run goes on with the rest. Once nothing is left
//! the old key can be taken out of the settings.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use kit::{SecretString, SharedClock};
use store::Stored;

use super::model::Connection;
use super::ops::place;
use super::store::ConnectionStore;
use crate::error::Result;
use crate::secrets::{Sealed, Vault, VaultError};

#[derive(Parser)]
#[command(name = "billing-svc rotate-secrets", about = "Wraps provider secrets under the newest key")]
pub struct Args {
    #[command(flatten)]
    pub data: kit::config::Data,
    /// The keys as the service has them: the newest first, the old ones behind it, comma-separated.
    #[arg(
        long,
        env = "RETENTION_SECRETS_KEY",
        value_delimiter = ',',
        required = true,
        hide_env_values = true
    )]
    pub secrets_key: Vec<SecretString>,
}

/// How far a rotation came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Connections wrapped anew.
    pub done: u64,
    pub left: u64,
    /// Those that do not open, by id: their key is not configured, or they are damaged.
    pub broken: Vec<String>,
}

/// Wraps everything anew, and says after each batch how far it is.
pub async fn rotate(
    db: &mongodb::Database,
    clock: SharedClock,
    vault: &Vault,
    mut say: impl FnMut(&Progress),
) -> Result<Progress> {
    let store = ConnectionStore::open(db, clock).await?;
    let mut progress = Progress::default();
    loop {
        let batch = store.sealed_otherwise(vault.newest(), &progress.broken).await?;
        if batch.is_empty() {
            return Ok(progress);
        }
        for read in batch {
            match rewrapped(vault, &read) {
                Ok(next) => match store.replace(&read, next, Vec::new()).await {
                    Ok(_) => progress.done += 1,
                    // Somebody replaced its keys or noted something: looked at again in the next batch.
                    Err(store::Error::Stale(_)) => {}
                    Err(other) => return Err(other.into()),
                },
                Err(e) => {
                    tracing::error!(connection.id = %read.id, error = %e, "the secrets of {} stay as they are: {e}", read.id);
                    progress.broken.push(read.id);
                }
            }
        }
        progress.left = store.count_sealed_otherwise(vault.newest()).await?;
        say(&progress);
    }
}

fn rewrapped(vault: &Vault, read: &Stored<Connection>) -> std::result::Result<Connection, VaultError> {
    let body = &read.body;
    let anew = |what: &str, sealed: &Sealed| match vault.is_outdated(sealed) {
        true => vault.rewrap(&place(&read.scope, body.provider, what), sealed),
        false => Ok(sealed.clone()),
    };
    Ok(Connection {
        secret: body.secret.as_ref().map(|s| anew("key", s)).transpose()?,
        webhook_secrets: body
            .webhook_secrets
            .iter()
            .map(|s| anew("webhook", s))
            .collect::<std::result::Result<_, _>>()?,
        ..body.clone()
    })
}

/// The command. Fails when something could not be wrapped: its key must be configured first.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let vault = Vault::new(&args.secrets_key)?;
    let db = store::connect(&args.data, "billing").await?;
    let clock = Arc::new(kit::clock::SystemClock);
    let ended = rotate(&db, clock, &vault, |p| println!("{} wrapped, {} left", p.done, p.left)).await?;
    for id in &ended.broken {
        println!("BROKEN  {id}: none of the configured keys opens it");
    }
    println!("{} connections wrapped under key {}", ended.done, vault.newest());
    Ok(if ended.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
