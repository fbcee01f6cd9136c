//! Working on what was told, oldest first.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kit::SharedClock;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::model::State;
use super::store::SsoStore;
use super::sync::Sync;
use crate::error::{Error, Result};

/// How often it is looked for events that nobody woke us for: repeats that have become due, another replica's leftovers.
const TICK: Duration = Duration::from_secs(2);
/// How long an event is one replica's.
const TERM: SignedDuration = SignedDuration::from_secs(60);

/// Works on told events.
#[derive(Clone)]
pub struct Worker {
    pub store: SsoStore,
    pub sync: Sync,
    pub clock: SharedClock,
    pub wake: Arc<Notify>,
}

impl Worker {
    /// Works until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match self.next().await {
                // More may be waiting.
                Ok(true) => continue,
                Ok(false) => {}
                Err(e) => tracing::warn!(error = %e, "events of the identity provider wait: {e}"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        Ok(())
    }

    /// Works on the next event that is due; whether there was one.
    async fn next(&self) -> Result<bool> {
        let now = self.clock.now();
        let until = now.checked_add(TERM).unwrap_or(now);
        let Some(event) = self.store.take_event(now, until).await? else { return Ok(false) };
        let after = match self.sync.apply(&event.body).await {
            Ok(true) => event.body.done(State::Processed),
            Ok(false) => event.body.done(State::Ignored),
            Err(e) => {
                let passing = match &e {
                    Error::Provider(p) => p.is_passing(),
                    Error::Store(_) => true,
                    _ => false,
                };
                tracing::warn!(event.id = event.id, error = %e, "event {} cannot be worked on: {e}", event.id);
                event.body.failed(&e.to_string(), passing, self.clock.now())
            }
        };
        match self.store.replace_event(&event, after).await {
            // It took longer than its term, and another replica has it.
            Ok(()) | Err(store::Error::Stale(_)) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }
}
