//! Debian packages without installing them: downloaded with everything they need that is missing here, unpacked
//! below `.dev/debs`. Works without root, and writes nothing outside the project.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{files, shell};

/// Unpacks packages and what they depend on; answers the folder that stands for `/`.
pub fn unpack(packages: &[&str]) -> Result<PathBuf> {
    let (state, into) = (files::dev("apt"), files::dev("debs"));
    for part in ["lists/partial", "cache/archives/partial"] {
        files::folder(&state.join(part))?;
    }
    files::folder(&into)?;
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(["-qq", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="])
            .args(["-o", &format!("Dir::State::lists={}", state.join("lists").display())])
            .args(["-o", &format!("Dir::Cache={}", state.join("cache").display())])
            .args(args);
        shell::output(&mut command)
    };
    let what = || format!("failed to get {} from Debian's packages", packages.join(", "));
    apt(&["update"]).with_context(what)?;
    let mut install = vec!["install", "--download-only", "--no-install-recommends", "--reinstall", "-y"];
    install.extend(packages);
    apt(&install).with_context(what)?;
    let archives = state.join("cache/archives");
    for entry in fs::read_dir(&archives)? {
        let deb = entry?.path();
        if deb.extension().is_some_and(|e| e == "deb") {
            shell::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&into))?;
            fs::remove_file(&deb)?;
        }
    }
    Ok(into)
}

/// Where unpacked libraries lie, for `LD_LIBRARY_PATH`.
pub fn libraries() -> PathBuf {
    files::dev("debs/usr/lib/x86_64-linux-gnu")
}
