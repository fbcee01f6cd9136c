//! Domain events over NATS JetStream: published with an id the server de-duplicates by, consumed by durable consumers
//! with retry, back-off, dead letters and replay. Knows no message of ours: bodies are bytes.

mod dead;
mod overhear;
mod publish;
mod subscribe;

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind};
use async_nats::jetstream::stream;
use backon::{ConstantBuilder, Retryable};
use kit::config::Data;

pub use overhear::Heard;
pub use publish::headers;
pub use subscribe::{Handler, Incoming, Outcome};

/// The connection and the names of our streams.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    prefix: String,
}

impl Bus {
    /// Connects and makes the streams where they are missing. A server that is down or slow is waited for, about a
    /// minute; an address that cannot be read, or a server that answers wrongly, fails at once.
    pub async fn connect(data: &Data) -> Result<Self> {
        let bus = Self::open(data).await?;
        bus.streams().await?;
        Ok(bus)
    }

    /// Connects, now or later, for who only overhears: makes no stream and does not wait for the server.
    pub async fn open(data: &Data) -> Result<Self> {
        let client = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(3))
            // A server that is silent is noticed within seconds: what is not heard meanwhile may matter.
            .ping_interval(Duration::from_secs(2))
            .connect(&data.nats_url)
            .await
            .context("failed to read RETENTION_NATS_URL")?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(Duration::from_secs(5));
        Ok(Self { client, jetstream, prefix: data.nats_prefix.clone() })
    }

    /// Makes both streams; options are a subset that NATS 2.9 and later servers accept.
    async fn streams(&self) -> Result<()> {
        let common = stream::Config {
            retention: stream::RetentionPolicy::Limits,
            storage: stream::StorageType::File,
            duplicate_window: Duration::from_secs(10 * 60),
            discard: stream::DiscardPolicy::Old,
            ..Default::default()
        };
        let events = stream::Config {
            name: self.events_stream(),
            subjects: vec![format!("{}.ev.>", self.prefix)],
            max_age: Duration::from_secs(14 * 24 * 3600),
            ..common.clone()
        };
        let dead = stream::Config {
            name: self.dead_stream(),
            subjects: vec![format!("{}.dead.>", self.prefix)],
            max_age: Duration::from_secs(30 * 24 * 3600),
            ..common
        };
        for config in [events, dead] {
            let name = config.name.clone();
            (|| self.jetstream.get_or_create_stream(config.clone()))
                .retry(ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(10))
                .when(is_passing)
                .await
                .with_context(|| format!("failed to make the stream {name}"))?;
        }
        Ok(())
    }

    pub(crate) fn events_stream(&self) -> String {
        format!("{}-events", self.prefix)
    }

    pub(crate) fn dead_stream(&self) -> String {
        format!("{}-dead", self.prefix)
    }

    /// The how manieth connection this is, while there is one: who relies on hearing everything asks whether it is still
    /// the same.
    pub fn connection(&self) -> Option<u64> {
        let connected = self.client.connection_state() == async_nats::connection::State::Connected;
        connected.then(|| self.client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Whether the server answers.
    pub async fn ready(&self) -> Result<()> {
        let state = self.client.connection_state();
        anyhow::ensure!(state == async_nats::connection::State::Connected, "NATS is not connected");
        Ok(())
    }
}

/// Whether the server did not answer, or not for JetStream yet.
fn is_passing(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::TimedOut | CreateStreamErrorKind::JetStreamUnavailable)
}
