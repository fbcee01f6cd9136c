//! `cargo xtask up`: from a fresh clone to a running system with a demo company.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::dev::{self, SERVICES, Settings};
use crate::process::Slot;
use crate::servers::{self, Servers};
use crate::{down, files, shell};

#[derive(Args, Clone, Default)]
pub struct Options {
    /// Return when everything is ready, instead of staying until Ctrl-C.
    #[arg(long)]
    detach: bool,
    /// Six processes instead of one that holds all six services.
    #[arg(long)]
    separate: bool,
    /// No demo company.
    #[arg(long)]
    empty: bool,
    /// Build with optimisation (slower to build, faster to run).
    #[arg(long)]
    release: bool,
    /// Where the gateway listens.
    #[arg(long)]
    port: Option<u16>,
}

pub fn up(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let lock = files::lock()?;
    let folder = files::dev("");
    let settings = Settings::open(&folder, options.port)?;

    step("MongoDB and NATS");
    let servers = Servers::start(&folder.join("run"), &folder.join("data"))?;
    step("building (the first time takes some minutes)");
    let binaries = dev::build(options.release)?;
    step(if options.separate { "starting six processes" } else { "starting the services" });
    start(options, &settings, &servers, &binaries)?;
    write_endpoints(&settings, &servers)?;
    if !options.empty {
        step("loading the demo company");
        load_into(&binaries.join("stack"), &["--demo".into()])?;
    }
    drop(lock);
    println!("\nready after {} s\n", begun.elapsed().as_secs());
    print!("{}", what_to_try(&read_endpoints()?));
    if options.detach {
        println!("\n`cargo xtask down` stops everything.");
        return Ok(());
    }
    println!("\nCtrl-C stops everything; the log is .dev/run/*.log.");
    stay()?;
    down::down()
}

/// `cargo xtask load …`: the loader, against what `up` started.
pub fn load(args: &[String]) -> Result<()> {
    let binaries = dev::build(false)?;
    if args.iter().any(|a| a == "--help" || a == "-h") {
        return shell::run(&binaries.join("stack").display().to_string(), ["load", "--help"]);
    }
    read_endpoints().context("nothing runs; start it with `cargo xtask up --empty --detach`")?;
    load_into(&binaries.join("stack"), args)
}

fn load_into(stack: &std::path::Path, args: &[String]) -> Result<()> {
    let mut command = Command::new(stack);
    command.arg("load").arg("--endpoints").arg(endpoints_path()).args(args);
    shell::status(&mut command)
        .context("the demo company was not loaded; the service's log says why (.dev/run/*.log)")
}

fn start(
    options: &Options,
    settings: &Settings,
    servers: &Servers,
    binaries: &std::path::Path,
) -> Result<()> {
    let folder = files::dev("run");
    let all = settings.environment(servers, &files::dev(""));
    let patience = Duration::from_secs(60);
    let one = Slot::new(&folder, "stack");
    // Changing between one process and six: the others make room first.
    if options.separate {
        one.stop(patience)?;
    } else {
        for service in SERVICES {
            Slot::new(&folder, service).stop(patience)?;
        }
    }
    let names: &[&str] = if options.separate { &SERVICES } else { &["stack"] };
    for name in names {
        let slot = Slot::new(&folder, name);
        // A new build must not be mistaken for the running old one.
        slot.stop(patience)?;
        let ports: Vec<u16> = if *name == "stack" {
            settings.ports.values().copied().collect()
        } else {
            vec![settings.port(name)]
        };
        for port in ports {
            if !servers::is_free(port) {
                bail!(
                    "port {port} is taken by another program; stop that one, or choose another with `--port`"
                );
            }
        }
        let mut env = all.clone();
        env.insert("RETENTION_LISTEN".into(), format!("127.0.0.1:{}", settings.port(name)));
        let args: &[&str] = if *name == "stack" { &["serve"] } else { &[] };
        slot.start(&mut dev::process(&binaries.join(name), args, &env)?)?;
    }
    for service in SERVICES {
        let slot = Slot::new(&folder, if options.separate { service } else { "stack" });
        slot.wait(patience, || ready(settings.port(service)))?;
    }
    Ok(())
}

/// Whether `/readyz` on a port of this machine answers 200.
pub fn ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut head = [0_u8; 12];
        stream.read_exact(&mut head)?;
        Ok(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}

fn endpoints_path() -> std::path::PathBuf {
    files::dev("endpoints.json")
}

pub fn read_endpoints() -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(endpoints_path())?)?)
}

/// Writes where everything is; what the loader noted of the demo company stays.
fn write_endpoints(settings: &Settings, servers: &Servers) -> Result<()> {
    let demo = read_endpoints().ok().and_then(|e| e.get("demo").cloned());
    let inner = SERVICES.iter().filter(|s| **s != "gateway");
    let grpc: serde_json::Map<_, _> = inner.map(|s| ((*s).to_owned(), json!(settings.address(s)))).collect();
    let metrics: serde_json::Map<_, _> = SERVICES
        .iter()
        .map(|s| ((*s).to_owned(), json!(format!("{}/metrics", settings.address(s)))))
        .collect();
    let mut endpoints = json!({
        "gateway": settings.address("gateway"),
        "grpc": grpc,
        "metrics": metrics,
        "mongo": servers.mongo_uri(),
        "nats": servers.nats_url(),
        "mail_dir": files::dev("mail").display().to_string(),
        "operator": dev::KALE_ADMIN,
    });
    if let Some(demo) = demo {
        endpoints["demo"] = demo;
    }
    files::write(&endpoints_path(), &format!("{endpoints:#}\n"))
}

fn what_to_try(endpoints: &Value) -> String {
    let at = |path: &str| endpoints.pointer(path).and_then(Value::as_str).unwrap_or("-").to_owned();
    let gateway = at("/gateway");
    let mut text = format!("API description   {gateway}/docs\n");
    if endpoints.get("demo").is_some() {
        text += &format!(
            "cancel page       {}\n\
             people            {} (operator), {} (retention admin), {} (retention expert)\n\
             mailbox           {}\n\n\
             Try: open the cancel page, say why, take the offer; then read the mail with the code in the mailbox and\n\
             `curl -s {gateway}/v1/subscriptions?limit=1 -H \"Authorization: Bearer {}\"`.\n",
            at("/demo/hosted_url"),
            at("/demo/users/kale_admin"),
            at("/demo/users/ret_admin"),
            at("/demo/users/ret_exp"),
            at("/mail_dir"),
            at("/demo/api_key_live"),
        );
    }
    text
}

fn step(what: &str) {
    println!("· {what}");
}

/// Stays until Ctrl-C. The terminal sends it to this process only, as the services run in groups of their own.
fn stay() -> Result<()> {
    // `sleep` is ended by the same Ctrl-C; this process ignores it and goes on to stop the rest.
    let mut child = Command::new("sh")
        .args(["-c", "trap 'exit 0' INT TERM; while :; do sleep 3600 & wait $!; done"])
        .spawn()?;
    child.wait()?;
    Ok(())
}
