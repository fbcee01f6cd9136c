//! content-svc: what customers are shown, and the cancel flow itself.

pub mod card_elements;
pub mod cards;
mod config;
pub mod error;
pub mod events;
pub mod questionnaire;
pub mod rule;
pub mod template;
pub mod text;
pub mod upstream;
pub mod versioned;
pub mod wire;
pub mod workflow;

use std::sync::Arc;

use kit::caller::{Minter, SigningKey, Verifier};
use kit::{SharedClock, clock::SystemClock};

pub use config::Config;
pub use error::Error;

/// The service as it runs.
pub async fn service(config: Config) -> anyhow::Result<kit::Service> {
    build(config, Arc::new(SystemClock)).await
}

/// The service with a clock of the caller's choice.
pub async fn build(config: Config, clock: SharedClock) -> anyhow::Result<kit::Service> {
    let common = &config.common;
    let key = Arc::new(SigningKey::from_seed(&common.inner_key)?);
    let trusted: Vec<String> = common.inner_trusted.iter().cloned().chain([key.public()]).collect();
    let verifier = Verifier::new("content-svc", &trusted, clock.clone())?;
    let minter = Minter::new("content-svc", key, clock.clone());
    let _upstreams = upstream::Upstreams::new(&config, &minter)?;
    let check = kit::service::Check { is_unary: proto::check::is_unary, message: proto::check::message };
    Ok(kit::Service::new("content-svc")
        .verified_by(verifier)
        .checked_by(check)
        .described_by(proto::DESCRIPTORS))
}
