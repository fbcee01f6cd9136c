//! identity-svc, alone. `identity-svc verify-audit` checks the chains of the audit trail instead.

use std::process::ExitCode;

use clap::Parser as _;
use identity_svc::audit::verify;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("verify-audit") {
        return kit::run::main(|c: &identity_svc::Config| &c.common, identity_svc::service);
    }
    let args = verify::Args::parse_from(std::env::args_os().skip(1));
    kit::run::once(verify::run(args))
}
