//! `cargo xtask down` and `status`.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::dev::{SERVICES, Settings};
use crate::process::Slot;
use crate::{fakes, files, up};

/// Stops what `up` started; nothing of ours is left running.
pub fn down() -> Result<()> {
    match stop(&files::dev("run"))?.as_slice() {
        [] => println!("nothing of ours was running"),
        names => println!("stopped {}", names.join(", ")),
    }
    Ok(())
}

/// Stops what runs from a folder: the door first, the servers last.
pub fn stop(folder: &Path) -> Result<Vec<&'static str>> {
    let mut stopped = Vec::new();
    for name in
        ["gateway", "stack"].into_iter().chain(fakes::NAMES).chain(SERVICES).chain(["nats-server", "mongod"])
    {
        if Slot::new(folder, name).stop(Duration::from_secs(25))? {
            stopped.push(name);
        }
    }
    Ok(stopped)
}

/// A line for each process.
pub fn status() -> Result<()> {
    let folder = files::dev("run");
    let slots = Slot::all(&folder);
    if slots.iter().all(|s| s.running().is_none()) {
        println!("nothing runs; `cargo xtask up` starts everything");
        return Ok(());
    }
    for slot in slots {
        let state = slot
            .running()
            .map_or("dead; `cargo xtask up` starts it again".into(), |pid| format!("running, pid {pid}"));
        println!("{:<14} {state}", slot.name());
    }
    let settings = Settings::open(&files::dev(""), None)?;
    for service in SERVICES {
        let state = if up::ready(settings.port(service)) { "ready" } else { "not ready" };
        println!("{service:<14} {} {state}", settings.address(service));
    }
    Ok(())
}
