//! What is done with redemptions: present, claim, decline, lapse, reverse. What comes after a claim is `drive.rs`.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::{Caller, Money, Outgoing, Page, PageRequest, Scope, Timestamp};
use serde_json::json;
use store::{Leases, Stored, Transaction};

use super::claim::Taken;
use super::model::{Redemption, State, presented, single_use_code};
use super::store::RedemptionStore;
use crate::connections::Connections;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::offer::{CodePolicy, Facts, Ledger, Ledgers, Offer, Offers};
use crate::providers::Provider;
use crate::subscription::Subscriptions;
use crate::test_clock::Clocks;

/// The use cases of redemptions.
#[derive(Clone)]
pub struct Redemptions {
    pub(super) store: RedemptionStore,
    pub(super) offers: Offers,
    pub(super) ledgers: Ledgers,
    pub(super) subscriptions: Subscriptions,
    pub(super) connections: Connections,
    pub(super) leases: Leases,
    pub(super) clocks: Clocks,
}

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;

impl Redemptions {
    pub fn new(
        store: RedemptionStore,
        offers: Offers,
        ledgers: Ledgers,
        subscriptions: Subscriptions,
        connections: Connections,
        leases: Leases,
        clocks: Clocks,
    ) -> Self {
        Self { store, offers, ledgers, subscriptions, connections, leases, clocks }
    }

    /// The time by which limits and effects are counted.
    pub async fn now(&self, scope: &Scope) -> Result<Timestamp> {
        Ok(self.clocks.now(scope).await?)
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Redemption>> {
        Ok(self.store.get(scope, id).await?)
    }

    pub(crate) async fn ids_of(&self, scope: &Scope, customer: &str) -> Result<Vec<String>> {
        Ok(self.store.ids_of(scope, customer).await?)
    }

    /// Gives redemptions of one customer to another, inside the transaction of a merge.
    pub(crate) async fn move_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        between: (&str, &str),
        ids: &[String],
    ) -> std::result::Result<(), store::Error> {
        self.store.move_in(tx, scope, between, ids).await
    }

    pub(crate) async fn move_rest(&self, scope: &Scope, from: &str, to: &str) -> Result<()> {
        Ok(self.store.move_rest(scope, from, to).await?)
    }

    pub async fn of_offer(
        &self,
        scope: &Scope,
        offer_id: &str,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Redemption>>> {
        Ok(self.store.of_offer(scope, offer_id, state, page).await?)
    }

    /// Notes that an offer is shown, with the terms as they are shown. The same session and offer answer the same
    /// redemption.
    pub async fn present(
        &self,
        caller: &Caller,
        offer_id: &str,
        subscription_id: &str,
        flow_session_id: &str,
        personas: Vec<String>,
    ) -> Result<Stored<Redemption>> {
        let scope = caller.scope()?;
        if let Some(known) = self.store.of_session(scope, flow_session_id, offer_id).await? {
            return Ok(known);
        }
        let (seen, subscription) = self.offers.check(scope, offer_id, subscription_id, &personas).await?;
        if !seen.reasons.is_empty() {
            return Err(Error::reasons(seen.reasons));
        }
        let offer = seen.offer.ok_or_else(|| kit::Fault::not_found("offer"))?.body;
        let redemption = presented(
            offer_id,
            offer,
            (&subscription.id, &subscription.body),
            flow_session_id,
            personas,
            self.clocks.now(scope).await?,
        );
        let id = kit::id::new("red");
        let events = vec![self.stamp(scope, &id, 1).redemption_changed(&redemption)];
        match self.store.insert(scope, id, redemption, events).await {
            Err(e @ store::Error::Duplicate(_)) => {
                let known = self.store.of_session(scope, flow_session_id, offer_id).await?;
                Ok(known.ok_or(e)?)
            }
            other => Ok(other?),
        }
    }

    /// Takes the customer's chance and the offer's budget, carries the offer out and answers where it came to. A
    /// second call answers the first one's result.
    pub async fn claim(&self, caller: &Caller, id: &str, terms_hash: &str) -> Result<Stored<Redemption>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.terms_hash != terms_hash {
                let text = "these are not the terms that were shown";
                return Err(Error::Refused("terms_changed", text.into()));
            }
            match read.body.state {
                State::Presented => {}
                State::Declined | State::Lapsed => {
                    let text = format!("the offer was {} before", read.body.state.as_str());
                    return Err(Error::Refused("redemption_closed", text));
                }
                state if state.is_under_way() => return self.drive(read).await,
                _ => return Ok(read),
            }
            match self.take(&read).await {
                Ok(claimed) => return self.drive(claimed).await,
                // Another claim, of this redemption or by this customer, came first: look again.
                Err(Error::Store(store::Error::Stale(_))) => {}
                // What stands in the way may be what another claim of this very redemption has just given.
                Err(other) if self.store.get(scope, id).await?.version == read.version => return Err(other),
                Err(_) => {}
            }
        }
        Err(Error::Busy)
    }

    /// One transaction: the redemption is claimed, limit and budget are taken, the customer's ledger says so. All or
    /// nothing, and before any provider is called.
    async fn take(&self, read: &Stored<Redemption>) -> Result<Stored<Redemption>> {
        let (scope, r) = (&read.scope, &read.body);
        let offer = self.offers.get(scope, &r.offer_id).await?;
        let subscription = self.subscriptions.get(scope, &r.subscription_id).await?.body;
        let used = self.offers.used(scope, &r.offer_id).await?;
        // Whose the subscription is now: records may have been merged since the offer was shown.
        let holder = subscription.customer_id.clone();
        let ledger = self.ledgers.own(scope, &holder).await?;
        // Who keeps a promise by hand needs no provider for it.
        let abilities = match r.terms.is_by_hand() {
            true => None,
            false => Some(self.connections.provider(scope, subscription.provider).await?.abilities()),
        };
        let now = self.clocks.now(scope).await?;
        // The conditions of today, the terms that were shown.
        let shown = Offer { terms: r.terms.clone(), stacking: r.stacking, ..offer.body };
        let facts = Facts {
            offer_id: &r.offer_id,
            offer: &shown,
            subscription: &subscription,
            personas: &r.persona_ids,
            used: &used,
            ledger: &ledger.body,
            abilities,
            now,
        };
        let reasons = facts.reasons();
        if !reasons.is_empty() {
            return Err(Error::reasons(reasons));
        }
        let code = match shown.code_policy {
            CodePolicy::None => String::new(),
            CodePolicy::Shared => shown.shared_code.clone(),
            CodePolicy::SingleUse => {
                single_use_code().map_err(|_| kit::Fault::internal(anyhow::anyhow!("no random bytes")))?
            }
        };
        let Taken { claimed, ledger: next_ledger, cost } = r.take(&read.id, &facts, code)?;
        let claimed = Redemption { customer_id: holder, ..claimed };
        let events = vec![self.stamp(scope, &read.id, read.version + 1).redemption_changed(&claimed)];
        let taking = Arc::new(Taking {
            ops: self.clone(),
            read: read.clone(),
            offer: shown.clone(),
            ledger,
            next_ledger,
            claimed,
            events,
            cost,
            now,
        });
        let taken = store::transaction(self.store.db(), async move |tx| taking.clone().run(tx).await).await?;
        if let Some(claimed) = taken {
            return Ok(claimed);
        }
        // The limits were there a moment ago: say which of them is not any more.
        let used = self.offers.used(scope, &r.offer_id).await?;
        match used.may_take(&shown.limits, cost, now) {
            Err(reason) => Err(Error::reasons(vec![reason])),
            Ok(()) => Err(Error::Busy),
        }
    }

    /// The customer said no.
    pub async fn decline(&self, caller: &Caller, id: &str) -> Result<Stored<Redemption>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.state == State::Declined {
                return Ok(read);
            }
            match self.save(&read, read.body.declined()?, None).await {
                Err(Error::Store(store::Error::Stale(_))) => {}
                other => return other,
            }
        }
        Err(Error::Busy)
    }

    /// The session ended: what was shown and not answered lapses.
    pub async fn lapse(&self, caller: &Caller, flow_session_id: &str) -> Result<u32> {
        let mut lapsed = 0;
        for read in self.store.open_in_session(caller.scope()?, flow_session_id).await? {
            match self.save(&read, read.body.lapsed()?, None).await {
                Ok(_) => lapsed += 1,
                // Answered at the last moment.
                Err(Error::Store(store::Error::Stale(_))) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(lapsed)
    }

    /// Everything a customer was shown and has not answered lapses; how many there were.
    pub(crate) async fn lapse_all(&self, scope: &Scope, customers: &[String]) -> Result<u64> {
        let mut lapsed = 0;
        for read in self.store.open_of(scope, customers).await? {
            match self.save(&read, read.body.lapsed()?, None).await {
                Ok(_) => lapsed += 1,
                // Answered at the last moment.
                Err(Error::Store(store::Error::Stale(_))) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(lapsed)
    }

    /// The company kept what it promised.
    pub async fn fulfil(&self, caller: &Caller, id: &str, note: &str) -> Result<Stored<Redemption>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            match read.body.state {
                State::FulfilPending => {}
                State::Verified if read.body.terms.is_by_hand() => return Ok(read),
                state => return Err(wrong_state(state, "fulfilled")),
            }
            let next = read.body.verified(None, self.clocks.now(scope).await?)?;
            let audit = self.by_hand(caller, &read, "redemption.fulfil", note);
            match self.save(&read, next, audit).await {
                Err(Error::Store(store::Error::Stale(_))) => {}
                other => return other,
            }
        }
        Err(Error::Busy)
    }

    /// The company cannot keep what it promised: the customer's chance comes back.
    pub async fn reject(&self, caller: &Caller, id: &str, reason: &str) -> Result<Stored<Redemption>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            match read.body.state {
                State::FulfilPending => {}
                State::Rejected => return Ok(read),
                state => return Err(wrong_state(state, "rejected")),
            }
            let audit = self.by_hand(caller, &read, "redemption.reject", reason);
            let ended = self.give_back(&read, read.body.rejected()?, false, audit).await?;
            // Somebody else's word may have come first: then it is looked at anew.
            if ended.body.state == State::Rejected {
                return Ok(ended);
            }
        }
        Err(Error::Busy)
    }

    fn by_hand(
        &self,
        caller: &Caller,
        read: &Stored<Redemption>,
        action: &str,
        why: &str,
    ) -> Option<Outgoing> {
        let after = json!({ "reason": why, "offer_id": read.body.offer_id });
        let stamp = self.stamp(&read.scope, &read.id, read.version + 1);
        stamp.audited(caller, "redemption", action, None, Some(&after))
    }

    /// Takes a verified redemption back at the provider, and gives limit and budget back.
    pub async fn reverse(&self, caller: &Caller, id: &str, reason: &str) -> Result<Stored<Redemption>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.state == State::Reversed {
                return Ok(read);
            }
            if read.body.state == State::Failed {
                return self.drive(read).await;
            }
            if read.body.state != State::Verified {
                return Err(wrong_state(read.body.state, "reversed"));
            }
            if !read.body.terms.is_reversible() {
                let text = "money that was paid back cannot be taken back";
                return Err(Error::Refused("not_reversible", text.into()));
            }
            if self.store.of_subscription(&read).await?.iter().any(|other| read.body.is_under(&other.body)) {
                let text =
                    "a later offer changed the same thing of this subscription: reverse that one first";
                return Err(Error::Refused("later_offer_stands", text.into()));
            }
            let audit = self.by_hand(caller, &read, "redemption.reverse", reason);
            match self
                .store
                .replace(&read, read.body.failed("reversed_by_admin")?, audit.into_iter().collect())
                .await
            {
                Ok(failed) => return self.drive(failed).await,
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    /// Marks the verified ones whose effect is over. Done by a schedule.
    pub async fn exhaust(&self) -> Result<u64> {
        let mut done = self.exhausted(self.store.over_by(self.clocks.machine()).await?).await?;
        for (scope, _) in self.clocks.moved().await? {
            done += self.exhaust_in(&scope).await?;
        }
        Ok(done)
    }

    /// The same in one company, by its own clock.
    pub async fn exhaust_in(&self, scope: &Scope) -> Result<u64> {
        let mut done = 0;
        loop {
            let over = self.store.over_in(scope, self.clocks.now(scope).await?).await?;
            match self.exhausted(over).await? {
                0 => return Ok(done),
                more => done += more,
            }
        }
    }

    /// When the next effect of a company's ends.
    pub async fn next_end(&self, scope: &Scope, after: Timestamp) -> Result<Option<Timestamp>> {
        Ok(self.store.next_end(scope, after).await?)
    }

    async fn exhausted(&self, over: Vec<Stored<Redemption>>) -> Result<u64> {
        let mut done = 0;
        for read in over {
            match self.save(&read, read.body.exhausted()?, None).await {
                Ok(stored) => {
                    done += 1;
                    self.subscriptions.follow(&stored.scope, &stored.body.customer_id).await?;
                }
                Err(Error::Store(store::Error::Stale(_))) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(done)
    }

    pub(super) async fn save(
        &self,
        read: &Stored<Redemption>,
        next: Redemption,
        extra: Option<Outgoing>,
    ) -> Result<Stored<Redemption>> {
        let told = next.state != read.body.state && !matches!(next.state, State::Applying | State::Applied);
        let stamp = self.stamp(&read.scope, &read.id, read.version + 1);
        let event = told.then(|| stamp.redemption_changed(&next));
        Ok(self.store.replace(read, next, event.into_iter().chain(extra).collect()).await?)
    }

    pub(super) fn stamp<'a>(&self, scope: &'a Scope, subject: &'a str, sequence: i64) -> Stamp<'a> {
        Stamp { scope, subject, sequence, at: self.clocks.machine() }
    }

    pub(super) async fn provider(&self, r: &Stored<Redemption>) -> Result<Arc<dyn Provider>> {
        self.connections.provider(&r.scope, r.body.provider).await
    }
}

fn wrong_state(state: State, wanted: &str) -> Error {
    Error::Refused("wrong_state", format!("a redemption that is {} cannot be {wanted}", state.as_str()))
}

/// Everything one claim writes.
struct Taking {
    ops: Redemptions,
    read: Stored<Redemption>,
    offer: Offer,
    ledger: Stored<Ledger>,
    next_ledger: Ledger,
    claimed: Redemption,
    events: Vec<Outgoing>,
    cost: Money,
    now: Timestamp,
}

impl Taking {
    /// None when the limits left no room. Boxed, as the compiler cannot see through an async closure that such a
    /// future may move between threads.
    fn run(
        self: Arc<Self>,
        tx: &mut Transaction,
    ) -> BoxFuture<'_, std::result::Result<Option<Stored<Redemption>>, store::Error>> {
        Box::pin(async move {
            let (scope, r) = (&self.read.scope, &self.read.body);
            let ledgers = &self.ops.ledgers;
            if !ledgers.take(tx, scope, (&r.offer_id, &self.offer), self.cost, self.now).await? {
                return Ok(None);
            }
            ledgers.replace(tx, &self.ledger, self.next_ledger.clone()).await?;
            ledgers.freeze(tx, scope, &r.offer_id, &r.terms_hash).await?;
            let (claimed, events) = (self.claimed.clone(), self.events.clone());
            self.ops.store.replace_in(tx, &self.read, claimed, events).await.map(Some)
        })
    }
}
