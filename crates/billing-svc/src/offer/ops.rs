//! What is done with offers.

use std::collections::{HashMap, HashSet};

use kit::{Caller, Money, Page, PageRequest, Role, Scope, Timestamp};
use serde_json::json;
use store::{Stored, Transaction};

use super::eligibility::{Facts, Reason, Wanted};
use super::ledger::{Ledger, Use};
use super::model::{Draft, Offer, State};
use super::store::{Filter, OfferStore};
use super::terms::Terms;
use crate::connections::Connections;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::Provider;
use crate::subscription::{Subscription, Subscriptions};
use crate::test_clock::Clocks;

/// What is taken of offers and what customers hold: the part other rooms change, inside their own transaction.
#[derive(Clone)]
pub struct Ledgers {
    store: OfferStore,
}

impl Ledgers {
    pub fn new(store: OfferStore) -> Self {
        Self { store }
    }

    /// What a customer holds.
    pub async fn of(&self, scope: &Scope, customer_id: &str) -> Result<Ledger> {
        Ok(self.store.ledger(scope, customer_id).await?.map(|s| s.body).unwrap_or_default())
    }

    /// Those of these customers to whom something was given that still runs.
    pub async fn saved(
        &self,
        scope: &Scope,
        customers: &[String],
        now: Timestamp,
    ) -> Result<HashSet<String>> {
        let held = self.store.ledgers(scope, customers).await?;
        Ok(held.into_iter().filter(|l| l.body.is_saved(now)).map(|l| l.id).collect())
    }

    /// What a customer holds, as a record to be changed.
    pub async fn own(&self, scope: &Scope, customer_id: &str) -> Result<Stored<Ledger>> {
        Ok(self.store.own_ledger(scope, customer_id).await?)
    }

    /// Offers the customer nothing any more, or again.
    pub async fn withhold(&self, scope: &Scope, customer_id: &str, withheld: bool) -> Result<()> {
        self.own(scope, customer_id).await?;
        Ok(self.store.withhold(scope, customer_id, withheld).await?)
    }

    /// Takes a claim from the offer's limits; false when they leave no room.
    pub async fn take(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        (offer_id, offer): (&str, &Offer),
        cost: Money,
        now: Timestamp,
    ) -> std::result::Result<bool, store::Error> {
        self.store.take(tx, scope, offer_id, &offer.limits, cost, now).await
    }

    /// Freezes the terms that are being given.
    pub async fn freeze(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        offer_id: &str,
        hash: &str,
    ) -> std::result::Result<(), store::Error> {
        self.store.freeze(tx, scope, offer_id, hash).await
    }

    pub async fn give_back(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        offer_id: &str,
        spent: Option<(&str, i64)>,
    ) -> std::result::Result<(), store::Error> {
        self.store.give_back(tx, scope, offer_id, spent).await
    }

    pub async fn replace(
        &self,
        tx: &mut Transaction,
        read: &Stored<Ledger>,
        ledger: Ledger,
    ) -> std::result::Result<(), store::Error> {
        self.store.replace_ledger(tx, read, ledger).await
    }
}

/// The use cases of offers.
#[derive(Clone)]
pub struct Offers {
    store: OfferStore,
    subscriptions: Subscriptions,
    connections: Connections,
    clocks: Clocks,
}

/// An offer as one subscription sees it; none where the offer does not exist.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: String,
    pub offer: Option<Stored<Offer>>,
    pub reasons: Vec<Reason>,
}

impl Offers {
    pub fn new(
        store: OfferStore,
        subscriptions: Subscriptions,
        connections: Connections,
        clocks: Clocks,
    ) -> Self {
        Self { store, subscriptions, connections, clocks }
    }

    pub async fn list(
        &self,
        caller: &Caller,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<(Page<Stored<Offer>>, HashMap<String, Use>)> {
        let scope = caller.scope()?;
        let page = self.store.list(scope, filter, page).await?;
        let ids: Vec<_> = page.items.iter().map(|o| o.id.clone()).collect();
        let used = self.store.used_of(scope, &ids).await?.into_iter().map(|u| (u.id, u.body)).collect();
        Ok((page, used))
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Offer>> {
        Ok(self.store.get(scope, id).await?)
    }

    pub async fn used(&self, scope: &Scope, id: &str) -> Result<Use> {
        Ok(self.store.used(scope, id).await?)
    }

    /// Creates a draft.
    pub async fn create(&self, caller: &Caller, draft: Draft) -> Result<Stored<Offer>> {
        let scope = caller.scope()?;
        let offer = draft.offer().map_err(Error::Wrong)?;
        let id = kit::id::new("off");
        let stamp = Stamp { scope, subject: &id, sequence: 1, at: self.clocks.machine() };
        let audit = stamp.audited(caller, "offer", "offer.create", None, Some(&summary(&offer)));
        Ok(self.store.insert(scope, id, offer, audit.into_iter().collect()).await?)
    }

    /// Changes an offer, if it still has the version that was read. `change` makes the new draft from the old offer.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        change: impl FnOnce(&Offer) -> Result<Draft> + Send,
    ) -> Result<Stored<Offer>> {
        let read = self.store.get(caller.scope()?, id).await?;
        if read.version != version {
            return Err(Error::Stale);
        }
        if read.body.state == State::Archived {
            return Err(Error::Refused("offer_archived", "an archived offer does not change".into()));
        }
        let next = read.body.changed(change(&read.body)?).map_err(Error::Wrong)?;
        if next == read.body {
            return Ok(read);
        }
        if next.state == State::Active {
            check_approved(caller, &next)?;
            self.check_publishable(&read.scope, &next).await?;
        }
        self.save(caller, &read, next, "offer.update").await
    }

    /// Moves an offer to another state; one that is there already stays.
    pub async fn set_state(&self, caller: &Caller, id: &str, to: State) -> Result<Stored<Offer>> {
        let scope = caller.scope()?;
        let read = self.store.get(scope, id).await?;
        if read.body.state == to {
            return Ok(read);
        }
        if !read.body.state.leads_to(to) {
            let text = format!("an offer that is {} cannot become {}", read.body.state.as_str(), to.as_str());
            return Err(Error::Refused("wrong_state", text));
        }
        if to == State::Active {
            check_approved(caller, &read.body)?;
            self.check_publishable(scope, &read.body).await?;
        }
        let next = Offer { state: to, ..read.body.clone() };
        let action = match to {
            State::Active => "offer.activate",
            State::Paused => "offer.pause",
            State::Draft | State::Archived => "offer.archive",
        };
        self.save(caller, &read, next, action).await
    }

    async fn save(
        &self,
        caller: &Caller,
        read: &Stored<Offer>,
        next: Offer,
        action: &str,
    ) -> Result<Stored<Offer>> {
        let stamp = Stamp {
            scope: &read.scope,
            subject: &read.id,
            sequence: read.version + 1,
            at: self.clocks.machine(),
        };
        let (before, after) = (summary(&read.body), summary(&next));
        let audit = stamp.audited(caller, "offer", action, Some(&before), Some(&after));
        Ok(self.store.replace(read, next, audit.into_iter().collect()).await?)
    }

    /// What a connected provider cannot do, and a price it does not sell, must not reach a customer.
    async fn check_publishable(&self, scope: &Scope, offer: &Offer) -> Result<()> {
        if offer.terms.is_by_hand() {
            return Ok(());
        }
        let connected = self.connections.connected(scope).await?;
        if connected.is_empty() {
            return Err(Error::NotConnected);
        }
        let can =
            |p: &dyn Provider| offer.terms.needs(p.abilities()).is_none_or(|(_, able)| able.is_possible());
        let able: Vec<_> = connected.iter().filter(|(_, p)| can(p.as_ref())).collect();
        if able.is_empty() {
            let text = format!("no connected billing provider can do {}", offer.kind.as_str());
            return Err(Error::Refused("provider_cannot", text));
        }
        if let Terms::PlanSwitch { price_id, price, .. } = &offer.terms {
            for (_, provider) in able {
                let catalog = provider.catalog().await?;
                let Some(sold) = catalog.prices.iter().find(|p| p.id == *price_id && p.active) else {
                    continue;
                };
                if sold.amount.is_some_and(|amount| amount != *price) {
                    let text = "the provider sells this price for another amount";
                    return Err(Error::field("terms.plan_switch.price", "price_differs", text));
                }
                return Ok(());
            }
            let text = "no connected provider sells this price";
            return Err(Error::field("terms.plan_switch.price_id", "unknown_price", text));
        }
        Ok(())
    }

    /// Whether a subscription may have an offer, with every reason why not, and the subscription. Reads only.
    pub async fn check(
        &self,
        scope: &Scope,
        id: &str,
        subscription_id: &str,
        personas: &[String],
    ) -> Result<(Seen, Stored<Subscription>)> {
        let offer = self.store.get(scope, id).await?;
        let offers = vec![(id.to_owned(), Some(offer))];
        let (seen, subscription) = self.look(scope, offers, subscription_id, personas, None).await?;
        let seen = seen.into_iter().next().ok_or_else(|| kit::Fault::not_found("offer"))?;
        Ok((seen, subscription))
    }

    /// The offers of a flow in the order asked for; every active one when none is named.
    pub async fn eligible(
        &self,
        scope: &Scope,
        ids: Vec<String>,
        subscription_id: &str,
        personas: &[String],
        wanted: &Wanted,
    ) -> Result<Vec<Seen>> {
        let offers = if ids.is_empty() {
            let filter = Filter { state: Some(State::Active), kind: None };
            let page = PageRequest::new(kit::page::MAX_LIMIT, "");
            let active = self.store.list(scope, &filter, &page).await?.items;
            active.into_iter().map(|o| (o.id.clone(), Some(o))).collect()
        } else {
            let found = self.store.these(scope, &ids).await?;
            let mut found: HashMap<_, _> = found.into_iter().map(|o| (o.id.clone(), o)).collect();
            ids.into_iter().map(|id| (id.clone(), found.remove(&id))).collect()
        };
        Ok(self.look(scope, offers, subscription_id, personas, Some(wanted)).await?.0)
    }

    async fn look(
        &self,
        scope: &Scope,
        offers: Vec<(String, Option<Stored<Offer>>)>,
        subscription_id: &str,
        personas: &[String],
        wanted: Option<&Wanted>,
    ) -> Result<(Vec<Seen>, Stored<Subscription>)> {
        let ids: Vec<_> = offers.iter().map(|(id, _)| id.clone()).collect();
        let (subscription, used) =
            tokio::join!(self.subscriptions.get(scope, subscription_id), self.store.used_of(scope, &ids));
        let subscription = subscription?;
        let used: HashMap<_, _> = used?.into_iter().map(|u| (u.id, u.body)).collect();
        let ledger = self.store.ledger(scope, &subscription.body.customer_id).await?;
        let ledger = ledger.map(|l| l.body).unwrap_or_default();
        let abilities =
            self.connections.provider(scope, subscription.body.provider).await.map(|p| p.abilities());
        let (none, now) = (Use::default(), self.clocks.now(scope).await?);
        let see = |(id, offer): (String, Option<Stored<Offer>>)| {
            let Some(stored) = offer else {
                let reason = Reason { code: "offer_missing", message: "there is no such offer".into() };
                return Seen { id, offer: None, reasons: vec![reason] };
            };
            let facts = Facts {
                offer_id: &id,
                offer: &stored.body,
                subscription: &subscription.body,
                personas,
                used: used.get(&id).unwrap_or(&none),
                ledger: &ledger,
                abilities: abilities.as_ref().ok().copied(),
                now,
            };
            let mut reasons = facts.reasons();
            if abilities.is_err() && !stored.body.terms.is_by_hand() {
                let message = "the billing provider of this subscription is not connected".into();
                reasons.push(Reason { code: "not_connected", message });
            }
            if let Some(wanted) = wanted {
                reasons.extend(wanted.reasons(&stored.body, subscription.body.invoice()));
            }
            Seen { id, offer: Some(stored), reasons }
        };
        let seen = offers.into_iter().map(see).collect();
        Ok((seen, subscription))
    }
}

/// Money that is paid back is gone: such an offer goes out, and changes while it is out, by a retention admin's word
/// alone, whatever an expert may publish otherwise.
fn check_approved(caller: &Caller, offer: &Offer) -> Result<()> {
    if offer.terms.is_reversible() || matches!(caller.role, Role::RetAdmin | Role::KaleAdmin) {
        return Ok(());
    }
    let text = "only a retention admin may let customers have an offer of this kind";
    Err(kit::Fault::new(kit::Code::Forbidden, "admin_approval_needed", text).into())
}

/// What the audit trail keeps of an offer.
fn summary(offer: &Offer) -> serde_json::Value {
    json!({
        "name": offer.name,
        "kind": offer.kind.as_str(),
        "state": offer.state.as_str(),
        "number": offer.number,
        "terms": offer.terms,
        "limits": offer.limits,
    })
}
