//! notify-svc, alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::main(|c: &notify_svc::Config| &c.common, notify_svc::service)
}
