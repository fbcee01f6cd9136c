//! Publishing: CloudEvents 1.0 in binary mode. All of a batch is sent before the first acknowledgement is awaited.

use anyhow::{Context, Result};
use async_nats::HeaderMap;
use kit::Outgoing;

use crate::Bus;

impl Bus {
    /// Publishes events in order; returns when the server has stored each. One it has already is dropped there.
    pub async fn publish(&self, events: &[Outgoing]) -> Result<()> {
        let mut acknowledgements = Vec::with_capacity(events.len());
        for event in events {
            let subject = format!("{}.ev.{}", self.prefix, event.kind);
            let sent = self.jetstream.publish_with_headers(subject, headers(event), event.body.clone()).await;
            acknowledgements.push(sent.with_context(|| format!("failed to publish {}", event.kind))?);
        }
        for acknowledgement in acknowledgements {
            acknowledgement.await.context("an event was not acknowledged")?;
        }
        Ok(())
    }
}

/// The envelope as headers.
pub fn headers(event: &Outgoing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let time = event.occurred_at.to_string();
    let pairs = [
        ("Nats-Msg-Id", event.id.as_str()),
        ("ce-specversion", "1.0"),
        ("ce-id", &event.id),
        ("ce-type", &event.kind),
        ("ce-source", "/retention"),
        ("ce-subject", &event.subject),
        ("ce-time", &time),
        ("ce-companyid", &event.scope.company),
        ("ce-mode", event.scope.mode.as_str()),
        ("content-type", "application/protobuf"),
    ];
    for (name, value) in pairs {
        headers.insert(name, value);
    }
    if let Some(trace) = &event.traceparent {
        headers.insert("traceparent", trace.as_str());
    }
    headers
}
