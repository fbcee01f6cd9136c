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
    /// Where uploaded files are kept.
    #[arg(long, env = "RETENTION_OBJECTS_DIR", default_value = ".dev/objects")]
    pub objects_dir: std::path::PathBuf,
    /// Share of customers, in whole percent, that the standing holdout keeps out of offers where the company set none.
    #[arg(long, env = "RETENTION_HOLDOUT_PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub holdout_percent: u32,
}
