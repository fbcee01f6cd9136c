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
    // Also what a run that was broken off left behind.
    stop(&folder.join("run"))?;
    // Every run begins with empty databases: figures of a full one would not compare.
    std::fs::remove_dir_all(folder.join("data")).ok();
    let outcome = measure(&folder, &binaries, options);
    stop(&folder.join("run"))?;
    outcome
}

/// What is measured beside the stack.
const ASIDE: [&str; 4] = ["bare", "checked", "unchecked", "noop"];

fn stop(run: &Path) -> Result<()> {
    for aside in ASIDE {
        Slot::new(run, aside).stop(Duration::from_secs(5))?;
    }
    down::stop(run).map(drop)
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
    let doors = doors(folder, &settings, &servers, binaries)?;
    println!("· loading the demo company");
    up::load_into(&binaries.join("stack"), folder, &["--demo".into()])?;

    let names = SERVICES.into_iter().chain(["mongod", "nats-server"]).chain(ASIDE);
    let pids: BTreeMap<_, _> =
        names.filter_map(|n| Some((n, Slot::new(&folder.join("run"), n).running()?))).collect();
    let plan = folder.join("plan.json");
    let [checked, unchecked] = doors;
    let noted = json!({
        "bare": listen, "checked": checked, "unchecked": unchecked, "pids": pids, "cold_start_ms": cold,
    });
    files::write(&plan, &noted.to_string())?;
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

/// A second gateway and one without checks, both before a service that does nothing: what the checks cost. Their
/// addresses.
fn doors(folder: &Path, settings: &Settings, servers: &Servers, binaries: &Path) -> Result<[String; 2]> {
    let run = folder.join("run");
    let [nothing, checked, unchecked] = [servers::free_port()?, servers::free_port()?, servers::free_port()?];
    let at = |port: u16| format!("127.0.0.1:{port}");
    let content = format!("http://{}", at(nothing));
    let bench = binaries.join("bench");
    let noop = Slot::new(&run, "noop");
    noop.start(Command::new(&bench).args(["noop", "--listen", &at(nothing)]))?;
    noop.wait(Duration::from_secs(20), || up::ready(nothing))?;
    let mut env = settings.environment(servers, folder);
    env.insert("RETENTION_CONTENT_ADDR".into(), content);
    let plain = Slot::new(&run, "unchecked");
    env.insert("RETENTION_LISTEN".into(), at(unchecked));
    plain.start(&mut dev::process(&bench, &["unchecked"], &env)?)?;
    plain.wait(Duration::from_secs(20), || up::ready(unchecked))?;
    env.insert("RETENTION_LISTEN".into(), at(checked));
    let full = Slot::new(&run, "checked");
    full.start(&mut dev::process(&binaries.join("gateway"), &[], &env)?)?;
    full.wait(Duration::from_secs(60), || up::ready(checked))?;
    Ok([at(checked), at(unchecked)])
}
