//! Working on events: those of one subject together, under its lock, with one reading of the provider.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use kit::{Outgoing, Scope, SharedClock};
use store::{Leases, Stored};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::model::{About, Event, State};
use super::store::EventStore;
use crate::connections::Connections;
use crate::customers::{self, Customers};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::{ProviderError, ProviderKind};
use crate::request_lock;
use crate::subscription::{News, Subscriptions};

/// How many events are looked at in one go, and how many subjects are worked on at once.
const BATCH: u32 = 400;
const ABREAST: usize = 12;
/// How often it is looked for events that nobody woke us for: repeats that have become due, another replica's leftovers.
const TICK: Duration = Duration::from_secs(2);

/// Works on received events.
#[derive(Clone)]
pub struct Worker {
    store: EventStore,
    connections: Connections,
    customers: Customers,
    subscriptions: Subscriptions,
    leases: Leases,
    clock: SharedClock,
    wake: Arc<Notify>,
}

impl Worker {
    pub fn new(
        store: EventStore,
        connections: Connections,
        customers: Customers,
        subscriptions: Subscriptions,
        leases: Leases,
        clock: SharedClock,
        wake: Arc<Notify>,
    ) -> Self {
        Self { store, connections, customers, subscriptions, leases, clock, wake }
    }

    /// Works until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            // Nobody waits for it: whoever does comes first at the provider.
            match connect::pace::in_background(self.round()).await {
                // More may be waiting.
                Ok(worked) if worked > 0 => continue,
                Ok(_) => {}
                Err(e) => tracing::warn!(error = %e, "received events cannot be worked on: {e}"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        Ok(())
    }

    /// Works on what is due; how many events got further.
    pub async fn round(&self) -> Result<usize> {
        let mut due = self.store.due(self.clock.now(), BATCH).await?;
        due.sort_by(|a, b| (a.body.occurred_at, &a.id).cmp(&(b.body.occurred_at, &b.id)));
        let mut subjects: BTreeMap<(Scope, ProviderKind, String), Vec<Stored<Event>>> = BTreeMap::new();
        for event in due {
            let subject = (event.scope.clone(), event.body.provider, event.body.subject().to_owned());
            subjects.entry(subject).or_default().push(event);
        }
        let worked = stream::iter(subjects)
            .map(|((scope, kind, subject), events)| {
                let worker = self.clone();
                async move { worker.subject(&scope, kind, &subject, events).await }
            })
            .buffer_unordered(ABREAST)
            .collect::<Vec<_>>()
            .await;
        worked.into_iter().sum()
    }

    async fn subject(
        &self,
        scope: &Scope,
        kind: ProviderKind,
        subject: &str,
        events: Vec<Stored<Event>>,
    ) -> Result<usize> {
        let lock = request_lock::inbound(kind.as_str(), scope, subject);
        // Another replica is at it.
        let Ok(lease) = self.leases.acquire(&lock, "billing-svc", "inbound").await else { return Ok(0) };
        let named = self.name(scope, kind, &events).await;
        if matches!(named, Ok(true)) {
            lease.release().await;
            return Ok(events.len());
        }
        let made_up = self.made_up(scope, kind, &events).await;
        let ids = made_up.as_deref().unwrap_or_default();
        let (unknown, events): (Vec<_>, Vec<_>) = events.into_iter().partition(|e| ids.contains(&e.id));
        let outcome = match named.and(made_up) {
            Ok(_) => self.take(scope, kind, &events).await,
            Err(e) => Err(e),
        };
        let ignored = self.ignore(&unknown).await;
        let written = match self.whose(scope, kind, &events).await {
            Ok(whose) => match self.is_erased(scope, kind, &events).await {
                Ok(erased) => self.note(&events, &outcome, &whose, erased).await,
                Err(e) => Err(e),
            },
            Err(e) => Err(e),
        };
        lease.release().await;
        let odd = events.iter().find_map(|e| e.body.odd_version.as_deref());
        if let Some(version) = odd.filter(|_| outcome.is_ok()) {
            let name = kind.as_str();
            let text =
                format!("webhooks of {name} come in API version {version}, which is not the one we pin");
            self.connections.warned(scope, kind, &text).await?;
        }
        if let Err(Error::Provider(e)) = &outcome {
            self.connections.noticed(scope, kind, Err(e)).await?;
        }
        Ok(written? + ignored?)
    }

    /// Finds out whose an event is that names nobody. Then it waits for its turn among the events of its subject.
    async fn name(&self, scope: &Scope, kind: ProviderKind, events: &[Stored<Event>]) -> Result<bool> {
        // What names nobody is a subject of its own.
        let [event] = events else { return Ok(false) };
        if !event.body.names_nobody() {
            return Ok(false);
        }
        let provider = self.connections.provider(scope, kind).await?;
        let owner = match provider.owner(&event.body.fact()).await {
            // It is told of all the same, without a name.
            Err(ProviderError::LacksRight(right)) => {
                tracing::warn!(inbound.id = %event.id, "our key may not see whose event {} is: {right}", event.id);
                None
            }
            other => other?,
        };
        let Some(owner) = owner else { return Ok(false) };
        match self.store.replace(event, event.body.of(owner), Vec::new()).await {
            Ok(_) | Err(store::Error::Stale(_)) => Ok(true),
            Err(other) => Err(other.into()),
        }
    }

    /// The ids of those that the provider does not know. News and money are told by the event alone, so one that nobody
    /// signed is looked up before it counts; for the others what stands at the provider is read anyway.
    async fn made_up(
        &self,
        scope: &Scope,
        kind: ProviderKind,
        events: &[Stored<Event>],
    ) -> Result<Vec<String>> {
        let mut unknown = Vec::new();
        for event in events.iter().filter(|e| e.body.is_news() || e.body.tells_of_money()) {
            let provider = self.connections.provider(scope, kind).await?;
            if !provider.confirms(&event.body.fact()).await? {
                tracing::warn!(inbound.id = %event.id, "the provider knows no such event as {}", event.id);
                unknown.push(event.id.clone());
            }
        }
        Ok(unknown)
    }

    async fn ignore(&self, events: &[Stored<Event>]) -> Result<usize> {
        self.store.settle(events, State::Ignored, self.clock.now()).await?;
        Ok(events.len())
    }

    /// Brings the mirror up to what the events announce.
    async fn take(&self, scope: &Scope, kind: ProviderKind, events: &[Stored<Event>]) -> Result<State> {
        let Some(newest) = events.iter().map(|e| e.body.provider_version).max() else {
            return Ok(State::Ignored);
        };
        let Some(first) = events.first() else { return Ok(State::Ignored) };
        if let Some(id) = &first.body.subscription {
            let known = self.subscriptions.known(scope, kind, id).await?;
            let news = events.iter().any(|e| e.body.is_news());
            // Our own acts come back as events: what the mirror has already needs no call. Zero says nothing of age.
            if !news && newest > 0 && known.is_some_and(|s| s.body.provider_version > newest) {
                return Ok(State::Processed);
            }
            let provider = self.connections.provider(scope, kind).await?;
            let snapshot = match provider.subscription(&id.as_str().into()).await {
                Err(ProviderError::NotFound(_)) => return Ok(State::Ignored),
                other => other?,
            };
            for event in events.iter().filter(|e| e.body.is_news()) {
                let id = event.body.external_id.as_str();
                let news = match event.body.about {
                    About::PaymentFailed => Some(News::PaymentFailed { event: id }),
                    About::PaymentSucceeded => Some(News::PaymentSucceeded { event: id }),
                    About::Dispute => Some(News::Disputed),
                    About::Customer | About::Subscription | About::Refund | About::Nothing => None,
                };
                self.subscriptions.observe(scope, kind, snapshot.clone(), news).await?;
            }
            if !news {
                self.subscriptions.observe(scope, kind, snapshot, None).await?;
            }
            return Ok(State::Processed);
        }
        let Some(id) = &first.body.customer else {
            // A refund or dispute of a payment alone is still to be told of.
            let tells = events.iter().any(|e| e.body.tells_of_money());
            return Ok(if tells { State::Processed } else { State::Ignored });
        };
        let provider = self.connections.provider(scope, kind).await?;
        match provider.customer(&id.as_str().into()).await {
            Err(ProviderError::NotFound(_)) => Ok(State::Ignored),
            seen => {
                self.customers.link(scope, kind, &seen?).await?;
                Ok(State::Processed)
            }
        }
    }

    /// Our ids of the subscription and the customer that events of one subject are about, where they tell of money.
    async fn whose(&self, scope: &Scope, kind: ProviderKind, events: &[Stored<Event>]) -> Result<Whose> {
        let Some(first) = events.first().filter(|_| events.iter().any(|e| e.body.tells_of_money())) else {
            return Ok(Whose::default());
        };
        if let Some(id) = &first.body.subscription
            && let Some(s) = self.subscriptions.known(scope, kind, id).await?
        {
            return Ok(Whose { subscription: s.id, customer: s.body.customer_id });
        }
        let Some(id) = &first.body.customer else { return Ok(Whose::default()) };
        let customer = self.customers.linked_to(scope, kind, id).await?;
        Ok(Whose { customer: customer.map(|c| c.id).unwrap_or_default(), ..Whose::default() })
    }

    /// Whether events of one subject are about somebody who was erased: then what they carry is not kept.
    async fn is_erased(&self, scope: &Scope, kind: ProviderKind, events: &[Stored<Event>]) -> Result<bool> {
        let Some(first) = events.first() else { return Ok(false) };
        if let Some(id) = &first.body.customer {
            return self.customers.is_erased(scope, kind, id).await;
        }
        let Some(id) = &first.body.subscription else { return Ok(false) };
        let Some(s) = self.subscriptions.known(scope, kind, id).await? else { return Ok(false) };
        Ok(self.customers.get(scope, &s.body.customer_id).await?.body.state == customers::State::Erased)
    }

    /// Writes down what became of the events, and tells of money that went back. One that was put back meanwhile stays put back.
    async fn note(
        &self,
        events: &[Stored<Event>],
        outcome: &Result<State>,
        whose: &Whose,
        erased: bool,
    ) -> Result<usize> {
        let now = self.clock.now();
        let state = match outcome {
            Ok(state) => *state,
            Err(e) => return self.put_off(events, e, erased).await,
        };
        let alone = |e: &&Stored<Event>| erased || e.body.tells_of_money();
        let (alone, alike): (Vec<_>, Vec<_>) = events.iter().partition(alone);
        self.store.settle(alike, state, now).await?;
        for event in alone {
            let stamp =
                Stamp { scope: &event.scope, subject: &event.id, sequence: event.version + 1, at: now };
            let told = event.body.tells_of_money().then(|| stamp.money_went_back(&event.body, whose));
            self.write(event, event.body.done(state, now), erased, told).await?;
        }
        let lag = |e: &Stored<Event>| now.duration_since(e.body.occurred_at).as_secs_f64();
        metrics::histogram!("inbound_lag_seconds").record(events.iter().map(lag).fold(0.0, f64::max));
        Ok(events.len())
    }

    /// Has events that could not be worked on wait, or gives them up.
    async fn put_off(&self, events: &[Stored<Event>], why: &Error, erased: bool) -> Result<usize> {
        let passing = match why {
            Error::Provider(p) => p.is_passing() || matches!(p, ProviderError::Revoked),
            Error::Store(_) | Error::Busy | Error::NotConnected => true,
            _ => false,
        };
        let text = format!("{}: {why}", why.slug());
        for event in events {
            let id = &event.id;
            tracing::warn!(inbound.id = %id, error = %why, "event {id} cannot be worked on: {why}");
            let next = event.body.failed(&text, passing, self.clock.now());
            self.write(event, next, erased, None).await?;
        }
        Ok(events.len())
    }

    async fn write(
        &self,
        event: &Stored<Event>,
        next: Event,
        erased: bool,
        told: Option<Outgoing>,
    ) -> Result<()> {
        let next = if erased { next.emptied() } else { next };
        match self.store.replace(event, next, told.into_iter().collect()).await {
            Ok(_) | Err(store::Error::Stale(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }
}

/// Whom an event is about, by our ids; empty where we know neither.
#[derive(Clone, Debug, Default)]
pub struct Whose {
    pub subscription: String,
    pub customer: String,
}
