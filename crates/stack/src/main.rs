use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Command, FromArgMatches};
use kit::clock::SystemClock;
use stack::load;

fn main() -> ExitCode {
    kit::run::crypto();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let command = Command::new("stack")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Retention Stack in one process")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(stack::serve::command())
        .subcommand(
            load::Options::augment_args(Command::new("load"))
                .about("Load a company through the public API of a running system"),
        )
        .subcommand(
            load::LinkOptions::augment_args(Command::new("link"))
                .about("Make a fresh link to the hosted cancel page of a loaded company"),
        )
        .subcommand(
            load::TokenOptions::augment_args(Command::new("token"))
                .about("Sign a person in by the mailed code and print the access token"),
        );
    let matches = command.get_matches();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match matches.subcommand() {
        Some(("serve", said)) => runtime.block_on(stack::serve::run(said)),
        Some(("load", said)) => {
            runtime.block_on(load::run(load::Options::from_arg_matches(said)?, Arc::new(SystemClock)))
        }
        Some(("link", said)) => runtime.block_on(load::run_link(load::LinkOptions::from_arg_matches(said)?)),
        Some(("token", said)) => {
            runtime.block_on(load::run_token(load::TokenOptions::from_arg_matches(said)?))
        }
        // clap refuses what is not listed above.
        _ => Ok(()),
    }
}
