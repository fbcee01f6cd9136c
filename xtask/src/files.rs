//! Where things lie: everything this tool writes is below `.dev/` of the project.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A path below `.dev/`.
pub fn dev(part: &str) -> PathBuf {
    root().join(".dev").join(part)
}

/// Makes a folder and everything above it.
pub fn folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("failed to make {}", path.display()))
}

/// Writes a file whole: readers see the old text or the new one.
pub fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let half = path.with_extension("half");
    fs::write(&half, text)
        .and_then(|()| fs::rename(&half, path))
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Holds `.dev/lock` until dropped, so that two commands at once do not start everything twice.
pub fn lock() -> Result<File> {
    folder(&dev(""))?;
    let file = File::create(dev("lock"))?;
    if file.try_lock().is_err() {
        eprintln!("waiting for another `cargo xtask` to finish …");
        file.lock()?;
    }
    Ok(file)
}
