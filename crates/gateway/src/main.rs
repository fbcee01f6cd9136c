//! gateway, alone. `--print-openapi` and `--print-access` print what the protos say and need no settings.

use std::process::ExitCode;

fn main() -> ExitCode {
    let printed = match std::env::args().nth(1).as_deref() {
        Some("--print-openapi") => gateway::openapi_document(),
        Some("--print-access") => gateway::access_table(),
        _ => return kit::run::main(|c: &gateway::Config| &c.common, gateway::service),
    };
    match printed {
        Ok(text) => print!("{text}"),
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
