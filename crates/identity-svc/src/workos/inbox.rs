//! Taking in what the provider tells: kept by one insert, answered at once, worked on later.

use std::sync::Arc;

use kit::SharedClock;
use tokio::sync::Notify;

use super::model::{Event, State, concerns_us};
use super::provider::{IdentityProvider, ProviderError, Told};
use super::store::SsoStore;
use crate::error::{Error, Result};

/// Where told events wait.
#[derive(Clone)]
pub struct Inbox {
    pub store: SsoStore,
    pub provider: Arc<dyn IdentityProvider>,
    pub clock: SharedClock,
    pub wake: Arc<Notify>,
}

impl Inbox {
    /// Checks a webhook call and keeps what it says: its id, and whether it was known before.
    pub async fn receive(&self, signature: &str, body: &[u8]) -> Result<(String, bool)> {
        let told = match self.provider.webhook(signature, body, self.clock.now()) {
            Ok(told) => told,
            Err(ProviderError::Denied(why)) => {
                tracing::info!("a webhook of the identity provider was refused: {why}");
                metrics::counter!("inbound_refused_total", "provider" => self.provider.name()).increment(1);
                return Err(Error::BadSignature);
            }
            Err(ProviderError::None) => return Err(kit::Fault::not_found("webhook address").into()),
            Err(ProviderError::Unreadable(_)) => {
                return Err(Error::field("body", "event", "is no event of the identity provider"));
            }
            Err(e) => return Err(e.into()),
        };
        self.keep(told).await
    }

    /// Keeps an event, however it came.
    pub async fn keep(&self, told: Told) -> Result<(String, bool)> {
        let Told { id: external_id, name, at, data } = told;
        let now = self.clock.now();
        let ours = concerns_us(&name);
        let event = Event {
            external_id: external_id.clone(),
            state: if ours { State::Received } else { State::Ignored },
            attempts: 0,
            error: String::new(),
            occurred_at: kit::clock::millis(at),
            due_at: now,
            // Of what does not concern us nothing is kept but that it came.
            data: if ours { data.to_string() } else { String::new() },
            name,
        };
        let id = kit::id::new("inb");
        if self.store.add_event(id.clone(), event).await? {
            if ours {
                self.wake.notify_one();
            }
            return Ok((id, false));
        }
        let known = self.store.event_by_external(&external_id).await?;
        Ok((known.map_or(id, |e| e.id), true))
    }
}
