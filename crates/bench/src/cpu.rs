//! What a process used, from `/proc`: processor seconds and memory.

use std::collections::BTreeMap;
use std::fs;

/// The kernel's ticks in a second: 100 on every Linux we run on.
const TICKS: f64 = 100.0;

/// Processor seconds (user and system) a process has used so far; 0 when it is gone.
pub fn seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest: Vec<_> = stat.rsplit_once(')').map_or("", |(_, r)| r).split_whitespace().collect();
    let ticks = |i: usize| rest.get(i).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS
}

/// A line such as `VmRSS` or `VmHWM` of a process, in MB.
pub fn memory_mb(pid: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|l| {
        l.strip_prefix(line)?.strip_prefix(':')?.split_whitespace().next()?.parse::<f64>().ok()
    });
    found.unwrap_or(0.0) / 1024.0
}

/// Lets `VmHWM`, the most memory a process ever held, start again from what it holds now.
pub fn reset_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
}

/// The machine's load of the last minute: what else was going on.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|v| v.parse().ok()).unwrap_or(0.0)
}

/// Processes by name.
pub type Pids = BTreeMap<String, u32>;

/// Processor seconds of all of them.
pub fn total(pids: &Pids) -> f64 {
    pids.values().map(|pid| seconds(*pid)).sum()
}
