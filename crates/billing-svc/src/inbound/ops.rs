//! Taking events in, listing them, working on one again.

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::{Caller, Mode, Page, PageRequest, Scope, SharedClock};
use store::Stored;
use tokio::sync::Notify;

use super::model::{Event, Raw, State};
use super::store::EventStore;
use crate::connections::Connections;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::{Fact, InboundCall, ProviderKind};
use crate::upstream::Directory;

/// The use cases of received events.
#[derive(Clone)]
pub struct Inbound {
    store: EventStore,
    directory: Directory,
    connections: Connections,
    clock: SharedClock,
    wake: Arc<Notify>,
}

/// A call as the gateway received it.
#[derive(Clone, Debug)]
pub struct Call {
    pub provider: String,
    pub company_key: String,
    pub headers: Vec<(String, String)>,
    pub body: bytes::Bytes,
}

/// Headers worth keeping with the raw bytes: they tell how a call was signed, and hold no secret.
const KEPT_HEADERS: [&str; 5] =
    ["content-type", "recurly-notification-id", "recurly-signature", "stripe-signature", "user-agent"];

impl Inbound {
    pub fn new(
        store: EventStore,
        directory: Directory,
        connections: Connections,
        clock: SharedClock,
        wake: Arc<Notify>,
    ) -> Self {
        Self { store, directory, connections, clock, wake }
    }

    /// Checks a call and keeps what it says; the first event's id, and whether all was known before. Nothing is worked
    /// on here: the provider waits for the answer.
    pub async fn receive(&self, call: &Call) -> Result<(String, bool)> {
        let missing = || kit::Fault::not_found("webhook address");
        let kind = ProviderKind::parse(&call.provider).ok_or_else(missing)?;
        let company = self.directory.company(&call.company_key).await?.ok_or_else(missing)?;
        let (scope, facts) = self.believed(&company, kind, call).await?;
        let now = self.clock.now();
        let headers: BTreeMap<_, _> = call
            .headers
            .iter()
            .filter(|(name, _)| KEPT_HEADERS.contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.chars().take(500).collect()))
            .collect();
        let mut first = None;
        let mut duplicate = true;
        for fact in facts {
            let event = Event::received(kind, fact, headers.clone(), Raw::of(&call.body), now);
            let (id, known) = self.keep(&scope, kind, event).await?;
            duplicate &= known;
            first.get_or_insert(id);
        }
        if !duplicate {
            self.wake.notify_one();
        }
        Ok((first.unwrap_or_default(), duplicate))
    }

    /// Which mode's connection believes the call, and what it says. One address serves both modes: the signature tells
    /// them apart.
    async fn believed(&self, company: &str, kind: ProviderKind, call: &Call) -> Result<(Scope, Vec<Fact>)> {
        let inbound = InboundCall { headers: &call.headers, body: &call.body, now: self.clock.now() };
        let mut refusal = Error::BadSignature;
        for mode in [Mode::Live, Mode::Test] {
            let scope = Scope::new(company, mode);
            let provider = match self.connections.provider(&scope, kind).await {
                Ok(provider) => provider,
                Err(Error::NotConnected) => continue,
                Err(other) => return Err(other),
            };
            match provider.verify(&inbound) {
                Ok(facts) => return Ok((scope, facts)),
                Err(why) => {
                    let why = Error::from(why);
                    // Signed and unreadable says more than not signed for the other mode.
                    if !matches!(why, Error::BadSignature) {
                        refusal = why;
                    }
                }
            }
        }
        metrics::counter!("inbound_refused_total", "provider" => kind.as_str()).increment(1);
        Err(refusal)
    }

    async fn keep(&self, scope: &Scope, kind: ProviderKind, event: Event) -> Result<(String, bool)> {
        let external_id = event.external_id.clone();
        let id = kit::id::new("inb");
        match self.store.insert(scope, id.clone(), event).await {
            Ok(()) => Ok((id, false)),
            Err(e @ store::Error::Duplicate(_)) => {
                let known = self.store.by_external(scope, kind, &external_id).await?;
                Ok((known.ok_or(e)?.id, true))
            }
            Err(other) => Err(other.into()),
        }
    }

    pub async fn list(
        &self,
        caller: &Caller,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Event>>> {
        Ok(self.store.list(caller.scope()?, state, page).await?)
    }

    /// Puts an event back to be worked on.
    pub async fn replay(&self, caller: &Caller, id: &str) -> Result<Stored<Event>> {
        let read = self.store.get(caller.scope()?, id).await?;
        let now = self.clock.now();
        let stamp = Stamp { scope: &read.scope, subject: id, sequence: read.version + 1, at: now };
        let audit = stamp.audited(caller, "inbound_event", "inbound_event.replay", None, None);
        let stored = self.store.replace(&read, read.body.again(now), audit.into_iter().collect()).await?;
        self.wake.notify_one();
        Ok(stored)
    }
}
