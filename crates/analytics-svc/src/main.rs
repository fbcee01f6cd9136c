use std::process::ExitCode;

fn main() -> ExitCode {
    kit::run::main(|c: &analytics_svc::Config| &c.common, analytics_svc::service)
}
