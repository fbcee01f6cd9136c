//! `cargo xtask up`: from a fresh clone to a running system with a demo company.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::dev::{self, SERVICES, Settings};
use crate::fakes::{self, Fake};
use crate::process::Slot;
use crate::servers::{self, Servers};
use crate::{files, shell};

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
    /// A fake billing provider beside the system, to connect a company to.
    #[arg(long, value_enum, value_name = "FAKE")]
    with: Vec<Fake>,
}

pub fn up(options: &Options) -> Result<()> {
    let begun = Instant::now();
    let lock = files::lock()?;
    let folder = files::dev("");
    let mut settings = Settings::open(&folder, options.port)?;
    fakes::settings(&folder, &options.with, &mut settings)?;

    // Said before anything is built; what runs of ours makes room by itself.
    let ours =
        ["stack", "gateway"].iter().any(|name| Slot::new(&folder.join("run"), name).running().is_some());
    if !ours {
        free_or_sentence(settings.port("gateway"))?;
    }
    step("MongoDB and NATS");
    let servers = Servers::start(&folder.join("run"), &folder.join("data"))?;
    step("building (the first time takes some minutes)");
    let binaries = dev::build(options.release)?;
    step(if options.separate { "starting six processes" } else { "starting the services" });
    start(&folder, options.separate, &settings, &servers, &binaries)?;
    write_endpoints(&folder, &settings, &servers)?;
    if !options.empty {
        step("loading the demo company");
        load_into(&binaries.join("stack"), &folder, &["--demo".into()])?;
    }
    let connect = fakes::start(&folder, &options.with, &settings, &binaries, &read_endpoints(&folder)?)?;
    drop(lock);
    println!("\nready after {} s\n", begun.elapsed().as_secs());
    print!("{}", what_to_try(&read_endpoints(&folder)?, !options.empty));
    print!("{connect}");
    if options.detach {
        println!("\n`cargo xtask down` stops everything.");
        return Ok(());
    }
    println!("\nCtrl-C stops everything; the log is .dev/run/*.log.");
    stay()
}

/// `cargo xtask verify-audit`: the chains of the audit trail, in the database of what `up` started.
pub fn verify_audit() -> Result<()> {
    let binaries = dev::build(false)?;
    let endpoints =
        read_endpoints(&files::dev("")).context("nothing runs; start it with `cargo xtask up`")?;
    let uri = endpoints["mongo"].as_str().context("the database is not among the endpoints")?;
    let mut command = Command::new(binaries.join("identity-svc"));
    shell::status(command.arg("verify-audit").env("RETENTION_MONGO_URI", uri))
}

/// `cargo xtask load …`: the loader, against what `up` started.
pub fn load(args: &[String]) -> Result<()> {
    let binaries = dev::build(false)?;
    if asks_for_help(args) {
        return shell::status(Command::new(binaries.join("stack")).args(["load", "--help"]));
    }
    read_endpoints(&files::dev(""))
        .context("nothing runs; start it with `cargo xtask up --empty --detach`")?;
    load_into(&binaries.join("stack"), &files::dev(""), args)
}

/// `cargo xtask link …`: a fresh link to the hosted cancel page.
pub fn link(args: &[String]) -> Result<()> {
    let binaries = dev::build(false)?;
    let mut command = Command::new(binaries.join("stack"));
    command.arg("link").arg("--endpoints").arg(files::dev("endpoints.json")).args(args);
    shell::status(&mut command)
}

fn asks_for_help(args: &[String]) -> bool {
    args.iter().any(|a| a == "--help" || a == "-h")
}

/// Runs the loader against the stack of a folder.
pub fn load_into(stack: &Path, folder: &Path, args: &[String]) -> Result<()> {
    let mut command = Command::new(stack);
    command.arg("load").arg("--endpoints").arg(folder.join("endpoints.json")).args(args);
    shell::status(&mut command)
        .context("the company was not loaded; why stands above, and more of it in the logs (.dev/run/*.log)")
}

/// Starts the services of a folder, in one process or in six, and waits until each is ready.
fn start(at: &Path, separate: bool, settings: &Settings, servers: &Servers, binaries: &Path) -> Result<()> {
    let folder = at.join("run");
    let patience = Duration::from_secs(60);
    let one = Slot::new(&folder, "stack");
    // A new build must not be mistaken for the running old one, nor six processes stand beside the one.
    one.stop(patience)?;
    if separate {
        return SERVICES.iter().try_for_each(|service| start_one(at, service, settings, servers, binaries));
    }
    for service in SERVICES {
        Slot::new(&folder, service).stop(patience)?;
        free_or_sentence(settings.port(service))?;
    }
    let env = settings.environment(servers, at);
    one.start(&mut dev::process(&binaries.join("stack"), &["serve"], &env)?)?;
    SERVICES.iter().try_for_each(|service| one.wait(patience, || ready(settings.port(service))))
}

/// Starts one service as a process of its own and waits until it is ready.
pub fn start_one(
    at: &Path,
    service: &str,
    settings: &Settings,
    servers: &Servers,
    binaries: &Path,
) -> Result<()> {
    let slot = Slot::new(&at.join("run"), service);
    slot.stop(Duration::from_secs(30))?;
    let port = settings.port(service);
    free_or_sentence(port)?;
    let mut env = settings.environment(servers, at);
    env.insert("RETENTION_LISTEN".into(), format!("127.0.0.1:{port}"));
    slot.start(&mut dev::process(&binaries.join(service), &[], &env)?)?;
    slot.wait(Duration::from_secs(60), || ready(port))
}

fn free_or_sentence(port: u16) -> Result<()> {
    if !servers::is_free(port) {
        bail!("port {port} is taken by another program; stop that one, or choose another with `--port`");
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

fn read_endpoints(folder: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(folder.join("endpoints.json"))?)?)
}

/// Writes where everything is; what the loader noted of the demo company stays.
pub fn write_endpoints(folder: &Path, settings: &Settings, servers: &Servers) -> Result<()> {
    let demo = read_endpoints(folder).ok().and_then(|e| e.get("demo").cloned());
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
        "mail_dir": folder.join("mail").display().to_string(),
        "operator": dev::KALE_ADMIN,
    });
    if let Some(demo) = demo {
        endpoints["demo"] = demo;
    }
    files::write(&folder.join("endpoints.json"), &format!("{endpoints:#}\n"))
}

fn what_to_try(endpoints: &Value, demo: bool) -> String {
    let at = |path: &str| endpoints.pointer(path).and_then(Value::as_str).unwrap_or("-").to_owned();
    let gateway = at("/gateway");
    let mut text = format!("API description   {gateway}/docs\n");
    if demo && endpoints.get("demo").is_some() {
        let customer = at("/demo/customers/0");
        let key = at("/demo/api_key_live");
        text += &format!(
            "cancel page       {}\n\
             people            {} (operator), {} (retention admin), {} (retention expert)\n\
             mailbox           {}\n\n\
             Try: open the cancel page, say that it costs too much, take the offer. Then look\n\
             - at the discount, at the billing provider:\n  \
             curl -s {gateway}/v1/billing/simulated/subscriptions/sub_{customer} -H 'Authorization: Bearer {key}'\n\
             - at the mail with the code, in the mailbox: ls -t {}\n\
             - at the figures: curl -s {gateway}/v1/analytics/overview -H 'Authorization: Bearer {key}'\n\
             A link to the cancel page is good for one start within 15 minutes; `cargo xtask link` makes another one.\n\
             To sign in: POST /v1/sessions with an address above, then again with the code from the mailbox.\n",
            at("/demo/hosted_url"),
            at("/demo/users/kale_admin"),
            at("/demo/users/ret_admin"),
            at("/demo/users/ret_exp"),
            at("/mail_dir"),
            at("/mail_dir"),
        );
    }
    text
}

fn step(what: &str) {
    println!("· {what}");
}

/// Stays until Ctrl-C, then stops everything. A shell takes this process's place, as it can wait for a signal and go on
/// after it; the services run in groups of their own and do not hear the terminal's Ctrl-C.
fn stay() -> Result<()> {
    let wait = "trap 'over=1' INT TERM HUP; \
                while [ -z \"$over\" ]; do sleep 3600 & wait $!; done; kill $! 2>/dev/null; echo; exec \"$0\" down";
    let failed = Command::new("sh").arg("-c").arg(wait).arg(std::env::current_exe()?).exec();
    Err(failed).context("failed to wait for Ctrl-C")
}
