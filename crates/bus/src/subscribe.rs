//! Consuming: one durable consumer per service and family of events (`subscription`, `flow`, …), in batches, each item
//! acknowledged for itself. What fails is given again later and later; what fails too often, or says it is hopeless,
//! goes to the dead letters.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::{AckKind, Message};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use jiff::Timestamp;
use kit::caller::{Mode, Scope};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::Bus;

/// The most events handed over at once.
const BATCH: usize = 200;
/// How often an event is given before it is dead.
const MOST_DELIVERIES: i64 = 8;

/// An event as a consumer gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub id: String,
    /// Such as `subscription.changed`.
    pub kind: String,
    pub scope: Scope,
    pub subject: String,
    pub occurred_at: Timestamp,
    /// The encoded `retention.events.v1.Event`.
    pub body: Bytes,
    /// How often it was given, this time included.
    pub deliveries: i64,
    pub traceparent: Option<String>,
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Give it again later.
    Retry(String),
    /// It will never work.
    Dead(String),
}

/// Handles events. Must be idempotent: each comes at least once.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// An outcome for each event, in order; one that is missing counts as `Retry`.
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome>;
}

impl Bus {
    /// Consumes a family of events for a service until stopped. Hand the future to `Service::task`.
    pub async fn subscribe(
        self,
        service: &'static str,
        family: &'static str,
        handler: Arc<dyn Handler>,
        stop: CancellationToken,
    ) -> Result<()> {
        while !stop.is_cancelled() {
            // Also after the server was away for long enough to forget the consumer's connection.
            if let Err(e) = self.consume(service, family, &handler, &stop).await {
                tracing::warn!(family, error = %format!("{e:#}"), "events of {family} wait: {e:#}");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_millis(500)) => {}
                }
            }
        }
        Ok(())
    }

    async fn consumer(&self, service: &str, family: &str) -> Result<Consumer<pull::Config>> {
        let name = format!("{service}_{family}");
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: format!("{}.ev.{family}.>", self.prefix),
            ack_policy: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(60),
            deliver_policy: DeliverPolicy::All,
            max_ack_pending: 1_000,
            ..Default::default()
        };
        let stream = self
            .jetstream
            .get_stream(self.events_stream())
            .await
            .context("the stream of events is not there")?;
        stream
            .get_or_create_consumer(&name, config)
            .await
            .with_context(|| format!("failed to make the consumer {name}"))
    }

    async fn consume(
        &self,
        service: &str,
        family: &str,
        handler: &Arc<dyn Handler>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let consumer = self.consumer(service, family).await?;
        // One stream for as long as it lasts: events sent to a stream that was dropped are lost until `ack_wait` is over.
        let stream = consumer.stream().max_messages_per_batch(BATCH).expires(Duration::from_secs(20));
        let mut stream = stream.messages().await.context("failed to ask for events")?;
        loop {
            let mut messages = Vec::new();
            // Take the first when it comes, and whatever is there with it; do not wait for a full batch.
            while messages.len() < BATCH
                && let Some(message) = tokio::select! {
                    () = stop.cancelled() => None,
                    next = next(&mut stream, messages.is_empty()) => next,
                }
            {
                messages.push(message.map_err(|e| anyhow::anyhow!("failed to read an event: {e}"))?);
            }
            if stop.is_cancelled() {
                return give_back(&mut stream, messages).await;
            }
            anyhow::ensure!(!messages.is_empty(), "the stream of events ended");
            self.give(service, messages, handler).await?;
        }
    }

    async fn give(&self, service: &str, messages: Vec<Message>, handler: &Arc<dyn Handler>) -> Result<()> {
        let mut batch = Vec::with_capacity(messages.len());
        let mut carriers = Vec::with_capacity(messages.len());
        for message in messages {
            match read(&message) {
                Some(incoming) => {
                    batch.push(incoming);
                    carriers.push(message);
                }
                None => self.bury(service, &message, "the envelope cannot be read").await?,
            }
        }
        // One span for the batch. It continues the trace of the first event; the others' traces are linked by id.
        let span = tracing::info_span!("events", otel.kind = "consumer", service, count = batch.len(), event.type = tracing::field::Empty);
        if let Some(first) = batch.first() {
            span.record("event.type", first.kind.as_str());
            if let Some(trace) = &first.traceparent {
                kit::telemetry::adopt_traceparent(&span, trace);
            }
        }
        let outcomes = handler.handle(&batch).instrument(span).await;
        let missing = std::iter::repeat(Outcome::Retry("the handler gave no outcome".into()));
        for ((incoming, message), outcome) in
            batch.iter().zip(&carriers).zip(outcomes.into_iter().chain(missing))
        {
            let dead = match outcome {
                Outcome::Done => {
                    message.ack().await.map_err(|e| anyhow::anyhow!("failed to acknowledge: {e}"))?;
                    None
                }
                Outcome::Retry(why) if incoming.deliveries < MOST_DELIVERIES => {
                    tracing::warn!(event.id = incoming.id, event.type = incoming.kind, "event {} is tried again: {why}", incoming.id);
                    let wait = Duration::from_millis(200 << incoming.deliveries.clamp(0, 9));
                    message
                        .ack_with(AckKind::Nak(Some(wait)))
                        .await
                        .map_err(|e| anyhow::anyhow!("failed to give back: {e}"))?;
                    None
                }
                Outcome::Retry(why) | Outcome::Dead(why) => Some(why),
            };
            if let Some(why) = dead {
                tracing::error!(event.id = incoming.id, event.type = incoming.kind, "event {} is dead: {why}", incoming.id);
                self.bury(service, message, &why).await?;
            }
        }
        metrics::counter!("events_handled_total", "service" => service.to_owned())
            .increment(batch.len() as u64);
        Ok(())
    }
}

/// Lets others have at once what this consumer was sent and will not come to.
async fn give_back<S, E>(stream: &mut S, mut messages: Vec<Message>) -> Result<()>
where
    S: futures_util::Stream<Item = std::result::Result<Message, E>> + Unpin,
{
    while let Some(Ok(message)) = next(stream, false).await {
        messages.push(message);
    }
    for message in messages {
        message
            .ack_with(AckKind::Nak(None))
            .await
            .map_err(|e| anyhow::anyhow!("failed to give back: {e}"))?;
    }
    Ok(())
}

/// The next message; once there is one, only what follows at once.
async fn next<S: futures_util::Stream + Unpin>(stream: &mut S, first: bool) -> Option<S::Item> {
    if first {
        return stream.next().await;
    }
    tokio::time::timeout(Duration::from_millis(2), stream.next()).await.ok().flatten()
}

fn read(message: &Message) -> Option<Incoming> {
    let headers = message.headers.as_ref()?;
    let header = |name: &str| headers.get(name).map(|v| v.as_str().to_owned());
    Some(Incoming {
        id: header("ce-id")?,
        kind: header("ce-type")?,
        scope: Scope::new(header("ce-companyid")?, Mode::parse(&header("ce-mode")?)?),
        subject: header("ce-subject")?,
        occurred_at: header("ce-time")?.parse().ok()?,
        body: message.payload.clone(),
        deliveries: message.info().ok()?.delivered,
        traceparent: header("traceparent"),
    })
}
