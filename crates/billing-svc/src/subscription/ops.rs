//! What is done with the mirror: read it, bring it up to date, and tell the flow whom it deals with.

use std::collections::BTreeMap;

use kit::{Caller, Outgoing, Page, PageRequest, Scope};
use store::{Leases, Stored, Transaction};

use super::model::{Reading, State, Subscription};
use super::store::{Filter, SubscriptionStore};
use crate::connections::Connections;
use crate::customers::{self, Customer, Customers};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::offer::Ledgers;
use crate::providers::{ProviderKind, Snapshot};
use crate::test_clock::Clocks;

/// The use cases of subscriptions.
#[derive(Clone)]
pub struct Subscriptions {
    pub(super) store: SubscriptionStore,
    pub(super) customers: Customers,
    pub(super) ledgers: Ledgers,
    pub(super) connections: Connections,
    pub(super) leases: Leases,
    pub(super) clocks: Clocks,
}

/// What a provider event says beside the subscription's state. `event` is the provider's id of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News<'a> {
    PaymentFailed {
        event: &'a str,
    },
    PaymentSucceeded {
        event: &'a str,
    },
    /// A payment is disputed: not ours to change until it is settled.
    Disputed,
}

/// Whom a flow deals with.
#[derive(Clone, Debug)]
pub struct Subject {
    pub customer: Stored<Customer>,
    pub subscription: Stored<Subscription>,
    /// Attributes that texts and rules may read, as text.
    pub attributes: BTreeMap<String, String>,
}

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;

impl Subscriptions {
    pub fn new(
        store: SubscriptionStore,
        customers: Customers,
        ledgers: Ledgers,
        connections: Connections,
        leases: Leases,
        clocks: Clocks,
    ) -> Self {
        Self { store, customers, ledgers, connections, leases, clocks }
    }

    pub async fn list(
        &self,
        caller: &Caller,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Subscription>>> {
        Ok(self.store.list(caller.scope()?, filter, page).await?)
    }

    /// All of a customer's. One who is not there, or is another company's, is not one without subscriptions.
    pub async fn of_customer(
        &self,
        caller: &Caller,
        customer: String,
        page: &PageRequest,
    ) -> Result<Page<Stored<Subscription>>> {
        let customer = self.customers.get(caller.scope()?, &customer).await?.id;
        self.list(caller, &Filter { state: None, customer_id: Some(customer) }, page).await
    }

    /// Everything a record of a customer has.
    pub(crate) async fn all_of(&self, scope: &Scope, customer: &str) -> Result<Vec<Stored<Subscription>>> {
        Ok(self.store.of_customers(scope, &[customer.to_owned()]).await?)
    }

    /// Writes inside the transaction of a merge.
    pub(crate) async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Subscription>,
        next: Subscription,
        events: Vec<Outgoing>,
    ) -> std::result::Result<Stored<Subscription>, store::Error> {
        self.store.replace_in(tx, read, next, events).await
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Subscription>> {
        Ok(self.store.get(scope, id).await?)
    }

    /// The mirror of what a provider knows by this id.
    pub async fn known(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        external_id: &str,
    ) -> Result<Option<Stored<Subscription>>> {
        Ok(self.store.by_external(scope, provider, external_id).await?)
    }

    /// Reads the subscription at the provider and brings the mirror up to date.
    pub async fn refresh(&self, scope: &Scope, id: &str) -> Result<Stored<Subscription>> {
        let known = self.store.get(scope, id).await?;
        Ok(self.read_back(scope, &known.body).await?.1)
    }

    /// What the provider shows now, and the mirror after taking it.
    pub async fn read_back(
        &self,
        scope: &Scope,
        known: &Subscription,
    ) -> Result<(Snapshot, Stored<Subscription>)> {
        let provider = self.connections.provider(scope, known.provider).await?;
        let snapshot = provider.subscription(&known.external_id.as_str().into()).await?;
        let stored = self.observe(scope, known.provider, snapshot.clone(), None).await?;
        Ok((snapshot, stored))
    }

    /// Takes a reading of the provider into the mirror: one write, which carries what the others must hear. The same
    /// reading, or the same news, taken twice leaves the same state and says nothing twice.
    pub async fn observe(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        snapshot: Snapshot,
        news: Option<News<'_>>,
    ) -> Result<Stored<Subscription>> {
        for _ in 0..TRIES {
            let now = self.clocks.machine();
            let known = self.store.by_external(scope, provider, snapshot.id.as_str()).await?;
            let written = match known {
                None => self.first_sight(scope, provider, snapshot.clone(), news).await,
                Some(read) => {
                    let before = &read.body;
                    let next = match before.read(snapshot.clone(), now) {
                        Reading::Newer(next) => *next,
                        Reading::Older | Reading::Same => before.clone(),
                    };
                    self.save(&read, next, news).await
                }
            };
            match written {
                Err(Error::Store(store::Error::Stale(_) | store::Error::Duplicate(_))) => {}
                Err(other) => return Err(other),
                Ok(stored) => {
                    // Every time, not only when something changed: a crash may have come between the two writes.
                    self.follow(scope, &stored.body.customer_id).await?;
                    return Ok(stored);
                }
            }
        }
        Err(Error::Busy)
    }

    async fn first_sight(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        snapshot: Snapshot,
        news: Option<News<'_>>,
    ) -> Result<Stored<Subscription>> {
        let now = self.clocks.machine();
        let customer_id = match self.customers.linked_to(scope, provider, snapshot.customer.as_str()).await? {
            Some(customer) => customer.id,
            None => {
                let seen =
                    self.connections.provider(scope, provider).await?.customer(&snapshot.customer).await?;
                self.customers.link(scope, provider, &seen).await?.id
            }
        };
        let seen = Subscription::seen(provider, customer_id, snapshot, now);
        let id = kit::id::new("sub");
        let stamp = Stamp { scope, subject: &id, sequence: 1, at: now };
        let mut events = vec![stamp.subscription_changed(&seen, None)];
        let body = tell(seen, None, news, stamp, &mut events);
        Ok(self.store.insert(scope, id, body, events).await?)
    }

    /// Writes the next form of a mirror, and what the others must hear of it.
    pub(super) async fn save(
        &self,
        read: &Stored<Subscription>,
        next: Subscription,
        news: Option<News<'_>>,
    ) -> Result<Stored<Subscription>> {
        let now = self.clocks.machine();
        let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at: now };
        let mut events = Vec::new();
        if next.tells_otherwise(&read.body) {
            events.push(stamp.subscription_changed(&next, Some(&read.body)));
            note_odd_step(&read.id, read.body.state, next.state);
        }
        let mut next = tell(next, Some(&read.body), news, stamp, &mut events);
        // A reading that says nothing new is worth a write only to show that we still hear of it.
        let quiet = now.duration_since(read.body.synced_at).as_hours() < 1;
        if next == read.body && quiet {
            return Ok(read.clone());
        }
        next.synced_at = now;
        Ok(self.store.replace(read, next, events).await?)
    }

    /// Brings what follows from the subscriptions into the customer.
    pub async fn follow(&self, scope: &Scope, customer_id: &str) -> Result<()> {
        // Records may have been merged since whoever calls read this one.
        let customer_id = &self.customers.get(scope, customer_id).await?.id;
        let all = self.store.of_customer(scope, customer_id).await?;
        let saved = self.ledgers.of(scope, customer_id).await?.is_saved(self.clocks.now(scope).await?);
        let bodies: Vec<_> = all.into_iter().map(|s| s.body).collect();
        self.customers.follow(scope, customer_id, &bodies, saved).await
    }

    /// Whether nothing is to be done with a customer's data: the customer was erased, or asked for that.
    pub(crate) async fn is_withdrawn(&self, scope: &Scope, customer_id: &str) -> Result<bool> {
        let customer = self.customers.get(scope, customer_id).await?.body;
        Ok(customer.restricted || customer.state == customers::State::Erased)
    }

    /// Whom a cancel flow deals with. `subscription` may be empty where the customer has only one that runs.
    pub async fn subject(&self, scope: &Scope, customer: &str, subscription: &str) -> Result<Subject> {
        let customer = self.customers.named(scope, customer).await?;
        let found = if subscription.is_empty() {
            let all = self.store.of_customer(scope, &customer.id).await?;
            let mut current = all.into_iter().filter(|s| s.body.state.is_current());
            match (current.next(), current.next()) {
                (Some(one), None) => Some(one),
                (None, _) => None,
                (Some(_), Some(_)) => {
                    let text = "the customer has several subscriptions: say which";
                    return Err(Error::Refused("subscription_required", text.into()));
                }
            }
        } else if kit::id::is("sub", subscription) {
            Some(self.store.get(scope, subscription).await?)
        } else {
            self.store.by_any_external(scope, subscription).await?
        };
        let missing = || Error::Fault(kit::Fault::not_found("subscription"));
        let subscription = found.filter(|s| s.body.customer_id == customer.id).ok_or_else(missing)?;
        let attributes = self.customers.readable_attributes(scope, &customer.body).await?;
        Ok(Subject { customer, subscription, attributes })
    }

    /// Asks once more for subscriptions nobody heard of for a week; those the provider does not tell of become
    /// `unknown`. Done by a schedule.
    pub async fn check_silent(&self) -> Result<u64> {
        let before = kit::time::add_days(self.clocks.machine(), -7);
        let mut lost = 0;
        for read in self.store.silent_since(before).await? {
            if self.read_back(&read.scope, &read.body).await.is_ok() {
                continue;
            }
            lost += u64::from(self.lose(&read).await?);
        }
        Ok(lost)
    }
}

/// Adds a payment's event unless it was told before.
fn tell(
    mut next: Subscription,
    before: Option<&Subscription>,
    news: Option<News<'_>>,
    stamp: Stamp<'_>,
    events: &mut Vec<kit::Outgoing>,
) -> Subscription {
    match news {
        Some(News::Disputed) => next.disputed = true,
        Some(News::PaymentSucceeded { .. }) => next.disputed = false,
        Some(News::PaymentFailed { .. }) | None => {}
    }
    let was_due = before.is_some_and(|b| b.state == State::PastDue || b.past_due_since.is_some());
    let (failed, event) = match news {
        Some(News::PaymentFailed { event }) => (true, event),
        // A payment that was never missed is no news.
        Some(News::PaymentSucceeded { event }) if was_due => (false, event),
        _ => return next,
    };
    match next.telling(event, failed) {
        None => next,
        Some(told) => {
            events.push(stamp.payment(&told, failed, event));
            told
        }
    }
}

fn note_odd_step(id: &str, from: State, to: State) {
    if !from.leads_to(to) {
        metrics::counter!("subscription_odd_steps_total").increment(1);
        tracing::warn!(
            subscription.id = id,
            "subscription {id} went from {} to {}; steps between were missed",
            from.as_str(),
            to.as_str()
        );
    }
}
