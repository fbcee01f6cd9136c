//! The table a person reads and the JSON a program reads.

use serde::Serialize;

/// One side of one case over all its rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Side {
    /// Requests, events or rows per second; the median of the rounds.
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processor seconds of all processes of the side (and the database) per 1,000 units.
    pub cpu_per_1000: f64,
    /// The most memory any of our processes held, in MB.
    pub peak_mb: f64,
}

/// A case: ours, the peer, and their ratios.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub key: String,
    pub what: String,
    pub ours: Side,
    pub bare: Side,
    /// Ours ÷ bare, of units per second.
    pub speed: f64,
    /// Ours ÷ bare, of processor time per unit.
    pub cpu: f64,
    pub aim: String,
}

/// A process at rest.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    pub service: String,
    pub cold_start_ms: f64,
    pub idle_mb: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
    pub idle: Vec<Idle>,
    /// The machine's load average before and after: how much else was going on.
    pub load: (f64, f64),
    pub connections: usize,
    pub rounds: usize,
}

pub fn print(report: &Report) {
    println!(
        "\n{:<6} {:<26} {:>10} {:>10} {:>6} {:>8} {:>8} {:>9} {:>9} {:>9} {:>6} {:>8}  aim",
        "",
        "",
        "ours/s",
        "bare/s",
        "ratio",
        "p50 ms",
        "p99 ms",
        "bare p99",
        "cpu/1000",
        "bare cpu",
        "ratio",
        "peak MB"
    );
    for r in &report.rows {
        println!(
            "{:<6} {:<26} {:>10.0} {:>10.0} {:>6.2} {:>8.2} {:>8.2} {:>9.2} {:>9.3} {:>9.3} {:>6.2} {:>8.0}  {}",
            r.key,
            r.what,
            r.ours.per_second,
            r.bare.per_second,
            r.speed,
            r.ours.p50_ms,
            r.ours.p99_ms,
            r.bare.p99_ms,
            r.ours.cpu_per_1000,
            r.bare.cpu_per_1000,
            r.cpu,
            r.ours.peak_mb,
            r.aim
        );
    }
    println!("\n{:<16} {:>14} {:>10}", "service", "cold start ms", "idle MB");
    for i in &report.idle {
        println!("{:<16} {:>14.0} {:>10.1}", i.service, i.cold_start_ms, i.idle_mb);
    }
    println!(
        "\n{} connections, {} alternating rounds, load average {:.1} before and {:.1} after. Ratios compare within this run;\nabsolute figures are as noisy as the machine.",
        report.connections, report.rounds, report.load.0, report.load.1
    );
}
