//! From rounds to figures: what a round did, the median of each side, and how the sides stand to each other.

use crate::bulk;
use crate::load::Round;
use crate::report::{Row, Side};

/// What one side did in one round.
pub struct Measured {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    cpu_per_1000: f64,
}

/// A round of requests that each carried some units.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn measured(round: &Round, units: u64, cpu: f64) -> Measured {
    let done = (round.requests * units) as f64;
    let ms = |q: f64| round.latency.value_at_quantile(q) as f64 / 1_000.0;
    Measured {
        per_second: done / round.seconds,
        p50_ms: ms(0.5),
        p99_ms: ms(0.99),
        cpu_per_1000: cpu / done * 1_000.0,
    }
}

/// A round of one long piece of work.
pub fn bulk_measured(seconds: f64, cpu: f64) -> Measured {
    work_measured(bulk::MANY, seconds, cpu)
}

/// The same of so many units.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn work_measured(units: usize, seconds: f64, cpu: f64) -> Measured {
    let done = units as f64;
    Measured {
        per_second: done / seconds,
        p50_ms: seconds * 1_000.0,
        p99_ms: seconds * 1_000.0,
        cpu_per_1000: cpu / done * 1_000.0,
    }
}

impl Measured {
    /// With how long requests beside the work took.
    #[expect(clippy::cast_precision_loss, reason = "microseconds far below 2^53")]
    pub fn answered(&mut self, latency: &hdrhistogram::Histogram<u64>) {
        let ms = |q: f64| latency.value_at_quantile(q) as f64 / 1_000.0;
        (self.p50_ms, self.p99_ms) = (ms(0.5), ms(0.99));
    }
}

fn median(rounds: &[Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The medians of a side.
pub fn side(rounds: &[Measured], peak_mb: f64) -> Side {
    Side {
        per_second: median(rounds, |r| r.per_second),
        p50_ms: median(rounds, |r| r.p50_ms),
        p99_ms: median(rounds, |r| r.p99_ms),
        cpu_per_1000: median(rounds, |r| r.cpu_per_1000),
        peak_mb,
    }
}

/// Both sides and their ratios.
pub fn row(key: &str, what: &str, ours: Side, bare: Side, aim: &str) -> Row {
    let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
    let (speed, cpu) = (ratio(ours.per_second, bare.per_second), ratio(ours.cpu_per_1000, bare.cpu_per_1000));
    Row { key: key.into(), what: what.into(), ours, bare, speed, cpu, aim: aim.into() }
}

/// What a case is to reach.
pub fn aim(key: &str) -> &'static str {
    match key {
        "a" | "b" => "speed ≥ 0.7, cpu ≤ 2.5",
        "a_pub" => "speed ≥ 8",
        "c1" => "speed ≥ 1.5",
        "c100" => "speed ≥ 0.7",
        "d" => "speed ≥ 1.5, p99 no worse",
        "i" => "none lost, p99 as in (d)",
        "j" => "speed ≥ 0.5",
        "k" => "speed ≥ 0.5, constant memory",
        "e" => "speed ≥ 0.7, < 64 MB",
        "f" => "speed ≥ 0.5",
        "h" => "cpu ≤ 1.3",
        "g" => "cpu ≤ 4 × (a)",
        "s" => "cpu ≤ 4 × a bare read",
        "s_half" => "p99 ≤ 3 × a bare read's",
        "s1000" => "≤ 200 MB in content-svc",
        _ => "",
    }
}
