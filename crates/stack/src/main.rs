use std::process::ExitCode;

use anyhow::Result;
use clap::Command;

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
        .subcommand(stack::serve::command());
    let matches = command.get_matches();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match matches.subcommand() {
        Some(("serve", said)) => runtime.block_on(stack::serve::run(said)),
        // clap refuses what is not listed above.
        _ => Ok(()),
    }
}
