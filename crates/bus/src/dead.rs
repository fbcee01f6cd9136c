//! Dead letters: events a consumer gave up on, kept with the reason, and given again when somebody says so.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull;
use futures_util::StreamExt;

use crate::Bus;

impl Bus {
    /// Keeps an event a service gave up on, and takes it out of the consumer.
    pub(crate) async fn bury(&self, service: &str, message: &Message, why: &str) -> Result<()> {
        let mut headers = message.headers.clone().unwrap_or_default();
        let id = headers.get("ce-id").map(|v| v.as_str().to_owned()).unwrap_or_default();
        headers.insert("Nats-Msg-Id", format!("{service}:{id}"));
        headers.insert("retention-dead-service", service);
        // A header is one line; a reason may have more.
        headers.insert("retention-dead-reason", why.replace(['\r', '\n'], " "));
        headers.insert("retention-dead-subject", message.subject.as_str());
        let subject = format!("{}.dead.{service}", self.prefix);
        self.jetstream.publish_with_headers(subject, headers, message.payload.clone()).await?.await?;
        message.ack().await.map_err(|e| anyhow::anyhow!("failed to take a dead event out: {e}"))?;
        metrics::counter!("events_dead_total", "service" => service.to_owned()).increment(1);
        Ok(())
    }

    /// How many dead events wait.
    pub async fn dead(&self) -> Result<u64> {
        let mut stream = self.jetstream.get_stream(self.dead_stream()).await?;
        Ok(stream.info().await?.state.messages)
    }

    /// Publishes a service's dead events again under new message ids, so that every consumer sees them once more
    /// (consumers are idempotent), and takes them out of the dead letters; how many.
    pub async fn replay(&self, service: &str) -> Result<usize> {
        let stream = self.jetstream.get_stream(self.dead_stream()).await?;
        let config =
            pull::Config { filter_subject: format!("{}.dead.{service}", self.prefix), ..Default::default() };
        let consumer = stream.create_consumer(config).await.context("failed to read the dead letters")?;
        let mut messages = consumer.fetch().max_messages(10_000).messages().await?;
        let mut count = 0;
        while let Some(message) = messages.next().await {
            let message = message.map_err(|e| anyhow::anyhow!("failed to read a dead event: {e}"))?;
            let mut headers = message.headers.clone().unwrap_or_default();
            let subject = headers
                .get("retention-dead-subject")
                .map(|v| v.as_str().to_owned())
                .context("a dead event without its subject")?;
            headers.insert("Nats-Msg-Id", kit::id::new("rpl"));
            self.jetstream.publish_with_headers(subject, headers, message.payload.clone()).await?.await?;
            let sequence = message.info().map_err(|e| anyhow::anyhow!("{e}"))?.stream_sequence;
            message.ack().await.map_err(|e| anyhow::anyhow!("{e}"))?;
            tokio::time::timeout(Duration::from_secs(5), stream.delete_message(sequence)).await??;
            count += 1;
        }
        Ok(count)
    }
}
