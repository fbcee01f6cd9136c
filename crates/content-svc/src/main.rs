//! The content service as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::main(|c: &content_svc::Config| &c.common, content_svc::service)
}
