//! Settings of this service.

use clap::Parser;

/// Personas, events, usage and reports.
#[derive(Parser, Clone, Debug)]
#[command(version)]
pub struct Config {
    #[command(flatten)]
    pub common: kit::config::Common,
    #[command(flatten)]
    pub data: kit::config::Data,
    #[command(flatten)]
    pub files: kit::config::Files,
    /// Share of customers, in whole percent, that the standing holdout keeps out of offers where the company set none.
    #[arg(long, env = "RETENTION_HOLDOUT_PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub holdout_percent: u32,
}
