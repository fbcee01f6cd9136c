//! Running other programs, with errors that say what to do.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::files;

/// Runs a program in the project's folder, its output shown; fails unless it ends well.
pub fn run<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Result<()> {
    status(Command::new(program).args(args))
}

/// Runs a prepared command in the project's folder.
pub fn status(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command
        .current_dir(files::root())
        .status()
        .with_context(|| format!("`{name}` could not be started; is it installed?"))?;
    if !ended.success() {
        bail!("`{name}` failed ({ended})");
    }
    Ok(())
}

/// Runs a command quietly; its output, or an error that ends with its last lines.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command
        .current_dir(files::root())
        .output()
        .with_context(|| format!("`{name}` could not be started; is it installed?"))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr);
        let last: Vec<_> = said.lines().rev().take(6).collect();
        bail!(
            "`{name}` failed ({}):\n{}",
            ended.status,
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        );
    }
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

/// Where a program lies on PATH.
#[expect(clippy::disallowed_methods, reason = "a tool for the desk reads the desk's PATH")]
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    // Debian keeps servers in sbin, which is not on everybody's PATH.
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|p| p.is_file())
}

/// An environment variable that holds something.
#[expect(clippy::disallowed_methods, reason = "a tool for the desk reads the desk's environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}
