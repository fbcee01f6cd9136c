//! `cargo xtask bench`: a stack of its own in release mode, six processes as they are deployed, measured beside bare
//! handlers in alternating rounds of the same run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use crate::dev::{SERVICES, Settings};
use crate::process::Slot;
use crate::servers::{self, Servers};
use crate::{dev, down, files, shell, up};

#[derive(Args, Clone, Default)]
pub struct Options {
    /// Handed to the benchmark: see `target/release/bench run --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub fn bench(options: &Options) -> Result<()> {
    println!("· building in release mode (some ten minutes the first time)");
    let binaries = dev::build(true)?;
    let folder = files::dev("bench");
    down::stop(&folder.join("run"))?;
    // Every run begins with empty databases: figures of a full one would not compare.
    std::fs::remove_dir_all(folder.join("data")).ok();
    let outcome = measure(&folder, &binaries, options);
    Slot::new(&folder.join("run"), "bare").stop(Duration::from_secs(5))?;
    down::stop(&folder.join("run"))?;
    outcome
}

fn measure(folder: &Path, binaries: &Path, options: &Options) -> Result<()> {
    println!("· MongoDB and NATS");
    let servers = Servers::start(&folder.join("run"), &folder.join("data"))?;
    let mut settings = Settings::open(folder, Some(servers::free_port()?))?;
    let port = servers::free_port()?;
    let listen = format!("127.0.0.1:{port}");
    // Limits are not what is measured, nor the writing of a log; the peer stands in for Stripe.
    settings.more = [
        ("RETENTION_RATE_SCALE", "100000".to_owned()),
        ("RETENTION_LOG", "warn".to_owned()),
        ("RETENTION_STRIPE_URL", format!("http://{listen}")),
        ("RETENTION_PRIVATE_NETWORKS", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    println!("· starting six processes and the bare peer");
    let mut cold = BTreeMap::new();
    for service in SERVICES {
        let begun = Instant::now();
        up::start_one(folder, service, &settings, &servers, binaries)?;
        cold.insert(service, begun.elapsed().as_secs_f64() * 1000.0);
    }
    up::write_endpoints(folder, &settings, &servers)?;
    let bare = Slot::new(&folder.join("run"), "bare");
    bare.start(Command::new(binaries.join("bench")).args([
        "bare",
        "--mongo",
        &servers.mongo_uri(),
        "--listen",
        &listen,
    ]))?;
    bare.wait(Duration::from_secs(20), || up::ready(port))?;
    println!("· loading the demo company");
    up::load_into(&binaries.join("stack"), folder, &["--demo".into()])?;

    let names = SERVICES.into_iter().chain(["mongod", "nats-server", "bare"]);
    let pids: BTreeMap<_, _> =
        names.filter_map(|n| Some((n, Slot::new(&folder.join("run"), n).running()?))).collect();
    let plan = folder.join("plan.json");
    files::write(&plan, &json!({ "bare": listen, "pids": pids, "cold_start_ms": cold }).to_string())?;
    shell::status(
        Command::new(binaries.join("bench"))
            .arg("run")
            .arg("--endpoints")
            .arg(folder.join("endpoints.json"))
            .arg("--plan")
            .arg(plan)
            .arg("--out")
            .arg(files::dev("bench.json"))
            .args(&options.rest),
    )
}
