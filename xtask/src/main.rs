//! One command per intention: `cargo xtask up | down | status | test | bench | fuzz | load | link | verify-audit | ci | tidy | openapi`.

mod bench;
mod debs;
mod dev;
mod down;
mod fakes;
mod files;
mod fuzz;
mod openapi;
mod process;
mod replica_set;
mod servers;
mod shell;
mod test;
mod tidy;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Runs, tests and checks Retention Stack.")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Gets what is needed, builds, starts everything on loopback and loads the demo company.
    Up(up::Options),
    /// Stops what `up` started.
    Down,
    /// Says what runs and where.
    Status,
    /// Runs the whole suite against a MongoDB and a NATS of its own.
    Test(test::Options),
    /// Loads a company's files through the public API; `cargo xtask load --help` says which.
    #[command(disable_help_flag = true)]
    Load {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Makes a fresh link to the hosted cancel page, for one customer by the company's own id or the next to try.
    #[command(disable_help_flag = true)]
    Link {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Checks the hash chains of the running system's audit trail; in production: `identity-svc verify-audit`.
    VerifyAudit,
    /// Measures a release build against bare handlers of the same run.
    Bench(bench::Options),
    /// Sends well-formed and ill-formed requests for every operation of the API description, as each kind of caller.
    Fuzz(fuzz::Options),
    /// Every check of the repository, then the tests; what CI runs.
    Ci,
    /// Checks the layering rules and the house rules that a compiler does not know.
    Tidy,
    /// Writes `docs/openapi.json`, `docs/access.md` and `docs/settings.md`, or with `--check` compares them.
    Openapi {
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Up(options) => up::up(&options),
        Command::Down => down::down(),
        Command::Status => down::status(),
        Command::Test(options) => test::test(&options),
        Command::Load { args } => up::load(&args),
        Command::Link { args } => up::link(&args),
        Command::VerifyAudit => up::verify_audit(),
        Command::Bench(options) => bench::bench(&options),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Ci => shell::run("bash", [".ci/run"]),
        Command::Tidy => tidy::tidy(),
        Command::Openapi { check } => openapi::openapi(check),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("\nxtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
