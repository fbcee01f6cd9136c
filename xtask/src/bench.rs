//! `cargo xtask bench`: a stack of its own in release mode, measured beside bare handlers in the same run.

use std::process::Command;

use anyhow::Result;
use clap::Args;

use crate::servers::Servers;
use crate::{dev, files, shell};

#[derive(Args, Clone, Default)]
pub struct Options {
    /// Handed to the benchmark: see `--help` of `target/release/bench`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

pub fn bench(options: &Options) -> Result<()> {
    println!("· building in release mode (ten minutes the first time)");
    let binaries = dev::build(true)?;
    println!("· MongoDB and NATS");
    let folder = files::dev("bench");
    let servers = Servers::start(&folder, &folder.join("data"))?;
    let outcome = shell::status(
        Command::new(binaries.join("bench"))
            .arg("run")
            .arg("--binaries")
            .arg(&binaries)
            .args(["--mongo", &servers.mongo_uri(), "--nats", &servers.nats_url()])
            .arg("--out")
            .arg(files::dev("bench.json"))
            .args(&options.rest),
    );
    servers.stop()?;
    std::fs::remove_dir_all(folder.join("data")).ok();
    outcome
}
