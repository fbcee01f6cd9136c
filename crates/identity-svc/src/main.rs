//! identity-svc, alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::main(|c: &identity_svc::Config| &c.common, identity_svc::service)
}
