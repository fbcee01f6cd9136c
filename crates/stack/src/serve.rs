//! `stack serve`: the services in one process, all or some, with the settings each would take alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use kit::clock::SystemClock;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::parts::{Settings, parts};
use crate::{Options, Running, start};

const ENDPOINTS: &str = "endpoints_file";
const ONLY: &str = "only";

/// The command line: every setting of every service once, and where each listens.
pub fn command() -> Command {
    let file = Arg::new(ENDPOINTS)
        .long("endpoints-file")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("Write where everything is to this file once it runs");
    let mut command =
        Command::new("serve").about("Run the services in one process, over real gRPC").arg(file);
    let mut known = BTreeSet::new();
    let parts = parts();
    let only = Arg::new(ONLY)
        .long("only")
        .value_name("SERVICES")
        .value_delimiter(',')
        .value_parser(PossibleValuesParser::new(parts.iter().map(|p| p.name)))
        .help("Run only these, comma-separated; the others are where their addresses say");
    command = command.arg(only);
    for part in &parts {
        let flag = part.name.trim_end_matches("-svc");
        let address = Arg::new(part.address_variable)
            .long(match flag {
                "gateway" => "gateway-addr",
                "identity" => "identity-addr",
                "billing" => "billing-addr",
                "content" => "content-addr",
                "analytics" => "analytics-addr",
                _ => "notify-addr",
            })
            .env(part.address_variable)
            .default_value(part.default_address)
            .help("Where this service listens, and the others find it");
        known.insert(part.address_variable.to_owned());
        command = command.arg(address);
    }
    for part in parts {
        for argument in part.command.get_arguments() {
            let Some(variable) = argument.get_env().and_then(|v| v.to_str()) else { continue };
            // Where to listen is said by the addresses.
            if variable != "RETENTION_LISTEN" && known.insert(variable.to_owned()) {
                command = command.arg(argument.clone());
            }
        }
    }
    command
}

/// The settings as the command line and the environment say them, by variable.
fn settings(matches: &ArgMatches) -> Settings {
    let command = command();
    let said = command.get_arguments().filter_map(|argument| {
        let variable = argument.get_env()?.to_str()?;
        let values = matches.get_raw(argument.get_id().as_str())?;
        let values: Vec<_> = values.map(|v| v.to_string_lossy().into_owned()).collect();
        Some((variable.to_owned(), values.join(",")))
    });
    said.collect()
}

/// Serves until a signal, or until one of the services ends by itself.
pub async fn run(matches: &ArgMatches) -> Result<()> {
    kit::config::refuse_unknown(&command())?;
    let settings = settings(matches);
    let setting = |name: &str| settings.get(name).map(String::as_str);
    kit::telemetry::start(
        "stack",
        setting("RETENTION_LOG").unwrap_or("info"),
        setting("RETENTION_OTLP_ENDPOINT"),
    )?;
    let drain = setting("RETENTION_DRAIN_SECONDS").and_then(|s| s.parse().ok()).unwrap_or(20);
    let options = Options {
        only: matches.get_many::<String>(ONLY).unwrap_or_default().cloned().collect(),
        listen: listen(&settings)?,
        settings: settings.clone(),
        clock: Arc::new(SystemClock),
        drain: Duration::from_secs(drain),
    };
    let stop = CancellationToken::new();
    kit::run::on_signal(stop.clone());
    let mut running = start(options).await?;
    if let Some(file) = matches.get_one::<PathBuf>(ENDPOINTS) {
        let text = format!("{:#}\n", endpoints(&running)?);
        tokio::fs::write(file, text).await.with_context(|| format!("failed to write {}", file.display()))?;
    }
    let ended = tokio::select! {
        () = stop.cancelled() => None,
        why = running.ended() => Some(why),
    };
    let stopped = match ended {
        // One that lies down takes the others with it: a supervisor starts all of them again.
        Some(why) => {
            drop(running);
            Err(why)
        }
        None => running.stop().await,
    };
    tokio::task::spawn_blocking(kit::telemetry::flush).await.ok();
    stopped
}

/// The listening address of each service, from the address the others are told.
fn listen(settings: &Settings) -> Result<BTreeMap<&'static str, SocketAddr>> {
    let mut listen = BTreeMap::new();
    for part in parts() {
        let Some(address) = settings.get(part.address_variable) else { continue };
        let address = address
            .trim_start_matches("http://")
            .parse()
            .with_context(|| format!("{} is not like http://127.0.0.1:7402", part.address_variable))?;
        listen.insert(part.name, address);
    }
    Ok(listen)
}

/// Where everything is, as `.dev/endpoints.json` says it.
fn endpoints(running: &Running) -> Result<Value> {
    let (mut grpc, mut metrics) = (Map::new(), Map::new());
    for name in running.names() {
        let address = running.address(name)?;
        metrics.insert(name.into(), format!("{address}/metrics").into());
        if name != "gateway" {
            grpc.insert(name.into(), address.into());
        }
    }
    let setting = |name: &str| running.settings().get(name);
    Ok(json!({
        "gateway": running.address("gateway").ok(),
        "grpc": grpc,
        "metrics": metrics,
        "mongo": setting("RETENTION_MONGO_URI"),
        "nats": setting("RETENTION_NATS_URL"),
        "mail_dir": setting("RETENTION_MAIL_DIR"),
        "operator": setting("RETENTION_BOOTSTRAP_ADMIN"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_there_once_and_reaches_who_knows_it() {
        command().debug_assert();
        let said = [
            "serve",
            "--inner-key=k",
            "--inner-trusted=a,b",
            "--secrets-key=s",
            "--billing-addr=http://127.0.0.1:9",
        ];
        let matches = command().try_get_matches_from(said).unwrap();
        let settings = settings(&matches);
        assert_eq!(settings["RETENTION_INNER_TRUSTED"], "a,b");
        assert_eq!(settings["RETENTION_SECRETS_KEY"], "s");
        assert_eq!(listen(&settings).unwrap()["billing-svc"], "127.0.0.1:9".parse().unwrap());
        assert!(command().try_get_matches_from(["serve"]).is_err(), "there is no default for a key");
    }
}
