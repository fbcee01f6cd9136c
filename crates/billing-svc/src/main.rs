//! billing-svc, alone. `billing-svc rotate-secrets` wraps provider secrets under the newest key instead.

use std::process::ExitCode;

use billing_svc::connections::rotate;
use clap::Parser as _;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("rotate-secrets") {
        return kit::run::main(|c: &billing_svc::Config| &c.common, billing_svc::service);
    }
    let args = rotate::Args::parse_from(std::env::args_os().skip(1));
    kit::run::once(rotate::run(args))
}
