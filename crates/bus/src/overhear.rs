//! Hearing events as they pass: every process hears each, nobody keeps them for one that is away. For dropping what a
//! cache holds, where missing one costs no more than the cache's own lifetime.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Message;
use bytes::Bytes;
use futures_util::StreamExt;
use kit::{Mode, Scope};
use tokio_util::sync::CancellationToken;

use crate::Bus;

/// An event that passed.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Such as `content.published`.
    pub kind: String,
    pub scope: Scope,
    pub subject: String,
    /// The encoded `retention.events.v1.Event`.
    pub body: Bytes,
}

impl Bus {
    /// Calls `hear` for every event of a family while it runs. Hand the future to `Service::task`.
    pub async fn overhear(
        self,
        family: &'static str,
        hear: impl Fn(Heard) + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> Result<()> {
        while !stop.is_cancelled() {
            if let Err(e) = self.listen(family, &hear, &stop).await {
                tracing::warn!(family, error = %format!("{e:#}"), "events of {family} pass unheard: {e:#}");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
        Ok(())
    }

    async fn listen(&self, family: &str, hear: &impl Fn(Heard), stop: &CancellationToken) -> Result<()> {
        let subject = format!("{}.ev.{family}.>", self.prefix);
        let mut passing = self.client.subscribe(subject).await.context("failed to listen")?;
        while let Some(message) = tokio::select! {
            () = stop.cancelled() => None,
            next = passing.next() => next,
        } {
            read(message).into_iter().for_each(hear);
        }
        Ok(())
    }
}

fn read(message: Message) -> Option<Heard> {
    let headers = message.headers?;
    let header = |name: &str| headers.get(name).map(|v| v.as_str().to_owned());
    Some(Heard {
        kind: header("ce-type")?,
        scope: Scope::new(header("ce-companyid")?, Mode::parse(&header("ce-mode")?)?),
        subject: header("ce-subject")?,
        body: message.payload,
    })
}
