//! billing-svc, alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::main(|c: &billing_svc::Config| &c.common, billing_svc::service)
}
