//! Processes this tool started: a pid file says pid and start time, so that a reused pid is never taken for ours.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{files, shell};

/// The place of one named process: its pid file and its log below a folder.
pub struct Slot {
    folder: PathBuf,
    name: String,
}

impl Slot {
    pub fn new(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned() }
    }

    /// Every slot below a folder that has a pid file.
    pub fn all(folder: &Path) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let pids = entries.filter(|p| p.extension().is_some_and(|e| e == "pid"));
        let mut names: Vec<_> =
            pids.filter_map(|p| p.file_stem().map(|s| s.to_string_lossy().into_owned())).collect();
        names.sort();
        names.iter().map(|name| Self::new(folder, name)).collect()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.name))
    }

    /// The pid, while the process we started lives.
    pub fn running(&self) -> Option<u32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        let (pid, begun) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (started_at(pid)? == begun).then_some(pid)
    }

    /// Starts a command in a session of its own, its output in the log.
    pub fn start(&self, command: &mut Command) -> Result<()> {
        files::folder(&self.folder)?;
        let log = File::create(self.log())?;
        let child = command
            .current_dir(files::root())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {}", self.name))?;
        let begun = started_at(child.id()).unwrap_or_default();
        files::write(&self.pid_file(), &format!("{} {begun}\n", child.id()))
    }

    /// Waits until `ready` says so; an error with the last log lines when the process died or took too long.
    pub fn wait(&self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        loop {
            if ready() {
                return Ok(());
            }
            if self.running().is_none() {
                bail!("{} stopped while starting; its log ends:\n{}", self.name, self.last_lines(8));
            }
            if begun.elapsed() > limit {
                bail!("{} was not ready after {limit:?}; its log ends:\n{}", self.name, self.last_lines(8));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Asks the process to stop, waits, and ends it when it does not.
    pub fn stop(&self, patience: Duration) -> Result<bool> {
        let Some(pid) = self.running() else {
            fs::remove_file(self.pid_file()).ok();
            return Ok(false);
        };
        signal("TERM", pid)?;
        let begun = Instant::now();
        while self.running().is_some() {
            if begun.elapsed() > patience {
                signal("KILL", pid)?;
            }
            sleep(Duration::from_millis(20));
        }
        fs::remove_file(self.pid_file()).ok();
        Ok(true)
    }

    fn last_lines(&self, count: usize) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(self.log()) {
            let size = file.metadata().map_or(0, |m| m.len());
            file.seek(SeekFrom::Start(size.saturating_sub(8_192))).ok();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).ok();
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        let lines: Vec<_> = text.lines().rev().take(count).collect();
        lines.into_iter().rev().map(|l| format!("  {l}")).collect::<Vec<_>>().join("\n")
    }
}

/// When a live process began, in the kernel's ticks; a zombie counts as dead.
fn started_at(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; what follows the last one is regular.
    let rest: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (*rest.first()? != "Z").then(|| rest.get(19).map(|s| (*s).to_owned())).flatten()
}

fn signal(name: &str, pid: u32) -> Result<()> {
    // The whole group: a server that forks leaves nothing behind.
    shell::output(Command::new("kill").args([&format!("-{name}"), "--", &format!("-{pid}")]))
        .map(|_| ())
        .or_else(|e| if started_at(pid).is_none() { Ok(()) } else { Err(e) })
}
