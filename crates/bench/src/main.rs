//! The benchmark of the whole system: `bench bare` is the peer, `bench run` measures ours beside it in alternating
//! rounds. Started by `cargo xtask bench`.

mod bare;
mod billing;
mod bulk;
mod cases;
mod cpu;
mod figures;
mod load;
mod mailbox;
mod report;
mod revocations;
mod run;
mod stripe;
mod unchecked;
mod visits;

use std::net::SocketAddr;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "bench", about = "Measures Retention Stack beside bare handlers.")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The peer: axum and the MongoDB driver, nothing else.
    Bare {
        #[arg(long)]
        mongo: String,
        #[arg(long)]
        listen: SocketAddr,
    },
    /// The gateway without its checks.
    Unchecked(Box<gateway::Config>),
    /// A service that does nothing.
    Noop {
        #[arg(long)]
        listen: SocketAddr,
    },
    /// Measures what `--plan` says runs.
    Run(run::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    kit::run::crypto();
    match Args::parse().command {
        Command::Bare { mongo, listen } => {
            bare::serve(&mongo, run::BARE_DATABASE, listen, run::STRIPE_SECRET).await
        }
        Command::Unchecked(config) => unchecked::serve(*config).await,
        Command::Noop { listen } => unchecked::noop(listen).await,
        Command::Run(options) => run::run(options).await,
    }
}
