//! What never arrived. Webhooks get lost: an address that was down for longer than a provider repeats, an endpoint
//! somebody switched off. So each connection's provider is asked what it told since we last asked, and what is not known
//! is kept as if it had come.

use std::time::Duration;

use jiff::SignedDuration;
use kit::{SharedClock, Timestamp};
use store::{Leases, Stored};
use tokio_util::sync::CancellationToken;

use super::ops::{Inbound, Lag};
use crate::connections::{Connection, Connections};
use crate::error::{Error, Result};
use crate::providers::{Cursor, Heard, ProviderKind};
use crate::request_lock;
use crate::subscription::Subscriptions;

/// How often it is looked for connections whose turn it is.
const TICK: Duration = Duration::from_secs(15);
/// An event as young as this may still be on its way. The next look, which overlaps, finds it if it is not.
const ON_ITS_WAY: SignedDuration = SignedDuration::from_secs(60);
/// How many pages one look reads; the next one goes on there.
const PAGES: usize = 50;

/// Looks for what never arrived.
#[derive(Clone)]
pub struct Gaps {
    connections: Connections,
    inbound: Inbound,
    subscriptions: Subscriptions,
    leases: Leases,
    clock: SharedClock,
}

impl Gaps {
    pub fn new(
        connections: Connections,
        inbound: Inbound,
        subscriptions: Subscriptions,
        leases: Leases,
        clock: SharedClock,
    ) -> Self {
        Self { connections, inbound, subscriptions, leases, clock }
    }

    /// Works until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            if let Err(e) = Box::pin(connect::pace::in_background(self.round())).await {
                tracing::warn!(error = %e, "it cannot be looked for missed events: {e}");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        Ok(())
    }

    /// Looks at every connection whose turn it is; how many events had been missed.
    pub async fn round(&self) -> Result<u64> {
        let mut missed = 0;
        for read in self.connections.to_watch().await? {
            let lock = request_lock::watch(read.body.provider.as_str(), &read.scope);
            // Another replica is at it.
            let Ok(lease) = self.leases.acquire(&lock, crate::NAME, "watch").await else { continue };
            let outcome = match lease.during(self.look(&read)).await {
                Ok(outcome) => outcome,
                Err(e) => Err(e.into()),
            };
            lease.release().await;
            // One connection that fails must not keep the others from being looked at.
            match outcome {
                Ok(found) => missed += found,
                Err(e) => tracing::warn!(
                    connection.id = %read.id,
                    error = %e,
                    "it cannot be looked for missed events of {}: {e}",
                    read.id
                ),
            }
        }
        Ok(missed)
    }

    async fn look(&self, read: &Stored<Connection>) -> Result<u64> {
        let (scope, kind) = (&read.scope, read.body.provider);
        let provider = self.connections.provider(scope, kind).await?;
        let from = read.body.heard_from();
        let mut cursor = Cursor::new(read.body.watch.cursor.clone());
        let mut missed = 0;
        let mut outcome = Ok(());
        for _ in 0..PAGES {
            match provider.events_since(&cursor, from).await {
                Ok(page) => {
                    missed += self.keep(read, from, page.events).await?;
                    cursor = page.next;
                    if page.done {
                        break;
                    }
                }
                Err(e) => {
                    outcome = Err(e);
                    break;
                }
            }
        }
        if missed > 0 {
            metrics::counter!("inbound_missed_total", "provider" => kind.as_str()).increment(missed);
            tracing::warn!(
                connection.id = %read.id,
                provider = kind.as_str(),
                "{missed} events of {} had not arrived and were asked for",
                read.id
            );
        }
        self.measure(kind, self.inbound.lag(scope, kind).await?);
        let failed = outcome.is_err();
        self.connections.noticed(scope, kind, outcome.as_ref().map(|_| ())).await?;
        self.connections
            .watched(scope, kind, |watch| watch.looked(cursor.as_str(), missed, failed, self.clock.now()))
            .await?;
        outcome.map(|()| missed).map_err(Error::from)
    }

    fn measure(&self, kind: ProviderKind, lag: Lag) {
        let now = self.clock.now();
        metrics::histogram!("billing_connection_lag_seconds", "provider" => kind.as_str())
            .record(lag.seconds(now) as f64);
    }

    async fn keep(&self, read: &Stored<Connection>, from: Timestamp, heard: Vec<Heard>) -> Result<u64> {
        let (scope, kind) = (&read.scope, read.body.provider);
        let now = self.clock.now();
        let old = now.checked_sub(ON_ITS_WAY).unwrap_or(now);
        let mut missing = Vec::new();
        // Looks overlap, and reach behind the sync that brought everything before it.
        for heard in heard.into_iter().filter(|h| h.fact.occurred_at.as_second() >= from.as_second()) {
            // A provider that keeps no events says what changed: that is no news where the mirror has it.
            let known = match &heard.fact.subscription {
                Some(id) if heard.raw.is_empty() => self
                    .subscriptions
                    .known(scope, kind, id.as_str())
                    .await?
                    .is_some_and(|s| s.body.provider_version >= heard.fact.provider_version),
                _ => false,
            };
            let young = !heard.raw.is_empty() && heard.fact.occurred_at > old;
            if !known && !young {
                missing.push(heard);
            }
        }
        self.inbound.fetched(scope, kind, missing).await
    }
}
