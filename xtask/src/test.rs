//! `cargo xtask test`: the whole suite, against servers of its own, beside a running `up`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::servers::{self, Servers};
use crate::{debs, files, shell};

#[derive(Args, Clone, Default)]
pub struct Options {
    /// Handed to the test runner, such as a part of a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub fn test(options: &Options) -> Result<()> {
    let data = scratch();
    let servers = Servers::start(&files::dev("test"), &data)?;
    let outcome = run(&servers, options);
    servers.stop()?;
    std::fs::remove_dir_all(&data).ok();
    outcome
}

/// Only some tests of some packages, with settings of theirs, telling all they have to say.
pub fn only(packages: &[&str], named: &str, settings: &[(&str, String)]) -> Result<()> {
    let data = scratch();
    let servers = Servers::start(&files::dev("test"), &data)?;
    let mut command = Command::new("cargo");
    command.arg("test").args(packages).args(["--", named, "--nocapture", "--test-threads", "2"]);
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    command.env("MONGODB_URI", servers.mongo_uri()).env("NATS_URL", servers.nats_url());
    let outcome = shell::status(&mut command);
    servers.stop()?;
    std::fs::remove_dir_all(&data).ok();
    outcome
}

fn run(servers: &Servers, options: &Options) -> Result<()> {
    // Journeys start real binaries, so these are built first.
    shell::run("cargo", ["build", "--workspace", "--bins"])?;
    let nextest = shell::output(Command::new("cargo").args(["nextest", "--version"])).is_ok();
    let mut command = Command::new("cargo");
    command.args(if nextest { &["nextest", "run", "--workspace"][..] } else { &["test", "--workspace"][..] });
    if !nextest {
        println!("cargo-nextest is not installed: running with `cargo test`, which is slower");
    }
    command.args(&options.rest).env("MONGODB_URI", servers.mongo_uri()).env("NATS_URL", servers.nats_url());
    // For the tests that lose a server.
    command.env("MONGOD_BIN", servers::mongod()?).env("MONGOD_LIBRARIES", debs::libraries());
    shell::status(&mut command)
}

/// Data of a test run lives in memory where that is possible: nothing of it is worth a disk's patience.
fn scratch() -> PathBuf {
    let name = format!("retention-test-{}", std::process::id());
    if Path::new("/dev/shm").is_dir() {
        Path::new("/dev/shm").join(name)
    } else {
        files::dev("test").join(name)
    }
}
