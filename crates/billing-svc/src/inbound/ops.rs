//! Taking events in, listing them, working on one again.

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::{Caller, Mode, Page, PageRequest, Scope, SharedClock, Timestamp};
use store::Stored;
use tokio::sync::Notify;

use super::model::{Event, Raw, State};
use super::store::{EventStore, Filter};
use crate::connections::Connections;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::{Fact, Heard, InboundCall, ProviderKind};
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

/// How far behind a connection's events are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// When the oldest event happened that is not worked on yet.
    pub oldest_open: Option<Timestamp>,
    /// When the last event happened that was worked on.
    pub newest_done: Option<Timestamp>,
}

impl Lag {
    /// In seconds; zero when nothing waits.
    pub fn seconds(&self, now: Timestamp) -> u64 {
        let age = self.oldest_open.map_or(0, |at| now.duration_since(at).as_secs());
        u64::try_from(age).unwrap_or(0)
    }
}

/// About how many events one replay of a span puts back.
pub const REPLAYED_AT_ONCE: u64 = 2_000;

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
        let (mut duplicate, mut work) = (true, false);
        for fact in facts {
            let event = Event::received(kind, fact, headers.clone(), Raw::of(&call.body), now);
            let to_do = event.state == State::Received;
            let (id, known) = self.keep(&scope, kind, event).await?;
            duplicate &= known;
            work |= to_do && !known;
            first.get_or_insert(id);
        }
        if work {
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
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Event>>> {
        Ok(self.store.list(caller.scope()?, filter, page).await?)
    }

    /// How far behind the events of a connection are.
    pub async fn lag(&self, scope: &Scope, kind: ProviderKind) -> Result<Lag> {
        let oldest_open = self.store.oldest_open(scope, kind).await?;
        Ok(Lag { oldest_open, newest_done: self.store.newest_done(scope, kind).await? })
    }

    /// Keeps events that never arrived, as if they had; how many those were. What is known already is left alone.
    pub async fn fetched(&self, scope: &Scope, kind: ProviderKind, heard: Vec<Heard>) -> Result<u64> {
        self.keep_unknown(scope, kind, heard, Event::fetched).await
    }

    /// Keeps what a provider of this house tells without calling, as if it had called. What is known already is left
    /// alone.
    pub async fn told(&self, scope: &Scope, kind: ProviderKind, heard: Vec<Heard>) -> Result<u64> {
        self.keep_unknown(scope, kind, heard, Event::told).await
    }

    async fn keep_unknown(
        &self,
        scope: &Scope,
        kind: ProviderKind,
        heard: Vec<Heard>,
        event: impl Fn(ProviderKind, Heard, Timestamp) -> Event,
    ) -> Result<u64> {
        let now = self.clock.now();
        let ids = heard.iter().map(|h| h.fact.id.as_str()).collect();
        let unknown = self.store.unknown(scope, kind, ids).await?;
        let new = heard.into_iter().filter(|h| unknown.contains(&h.fact.id));
        // Together, as they are written together.
        let kept = new.map(|heard| self.keep(scope, kind, event(kind, heard, now)));
        let kept = futures_util::future::try_join_all(kept).await?;
        let missed = kept.into_iter().filter(|(_, known)| !known).count() as u64;
        if missed > 0 {
            self.wake.notify_one();
        }
        Ok(missed)
    }

    /// Whether any event of a connection was not looked at yet.
    pub async fn waits(&self, scope: &Scope, kind: ProviderKind) -> Result<bool> {
        Ok(self.store.waits(scope, kind).await?)
    }

    /// Puts what was received in a span of time back to be worked on, at most [`REPLAYED_AT_ONCE`] at a time, newest first;
    /// how many, and whether there are more.
    pub async fn replay_span(&self, caller: &Caller, filter: &Filter) -> Result<(u64, bool)> {
        let scope = caller.scope()?;
        let now = self.clock.now();
        if filter.since.is_none_or(|since| since >= filter.until.unwrap_or(now)) {
            return Err(Error::field("since", "span.empty", "must lie before `until`"));
        }
        let (mut replayed, mut page) = (0, PageRequest::new(kit::page::MAX_LIMIT, ""));
        loop {
            let found = self.store.list(scope, filter, &page).await?;
            let ids: Vec<_> = found.items.iter().map(|e| e.id.as_str()).collect();
            if let Some(first) = found.items.first().filter(|_| replayed == 0) {
                self.replay_audited(caller, first, "inbound_event.replay_span").await?;
                replayed += 1;
            }
            let rest = ids.get(usize::from(page.cursor.is_none())..).unwrap_or_default();
            replayed += self.store.again(scope, filter, rest, now).await?;
            match found.next_cursor {
                Some(_) if replayed >= REPLAYED_AT_ONCE => {
                    self.wake.notify_one();
                    return Ok((replayed, true));
                }
                Some(next) => page = PageRequest::new(kit::page::MAX_LIMIT, next),
                None => break,
            }
        }
        self.wake.notify_one();
        Ok((replayed, false))
    }

    /// Puts an event back to be worked on.
    pub async fn replay(&self, caller: &Caller, id: &str) -> Result<Stored<Event>> {
        let read = self.store.get(caller.scope()?, id).await?;
        let stored = self.replay_audited(caller, &read, "inbound_event.replay").await?;
        self.wake.notify_one();
        Ok(stored)
    }

    async fn replay_audited(
        &self,
        caller: &Caller,
        read: &Stored<Event>,
        action: &str,
    ) -> Result<Stored<Event>> {
        let now = self.clock.now();
        let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at: now };
        let audit = stamp.audited(caller, "inbound_event", action, None, None);
        Ok(self.store.replace(read, read.body.again(now), audit.into_iter().collect()).await?)
    }
}
