//! What is done with merges.

use kit::{Caller, Scope, SharedClock};
use store::Stored;

use super::model::{Merge, UNDO_DAYS, part, unite};
use super::plan::{Change, Done, Noted, Plan};
use super::store::MergeStore;
use crate::customers::{Customer, Customers, State};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::offer::{Ledger, Ledgers};
use crate::redemption::Redemptions;
use crate::subscription::{Subscription, Subscriptions};

/// The use cases of merges.
#[derive(Clone)]
pub struct Merges {
    pub(super) store: MergeStore,
    pub(super) customers: Customers,
    pub(super) subscriptions: Subscriptions,
    pub(super) redemptions: Redemptions,
    pub(super) ledgers: Ledgers,
    pub(super) clock: SharedClock,
}

/// Two customers, and the version of each that was read.
#[derive(Clone, Debug)]
pub struct Pair {
    pub survivor: (String, i64),
    pub absorbed: (String, i64),
}

/// A merge and the survivor as they now are.
#[derive(Clone, Debug)]
pub struct Merged {
    pub merge: Stored<Merge>,
    pub customer: Stored<Customer>,
}

/// How often it is tried again when somebody else came before.
const TRIES: usize = 8;

impl Merges {
    pub fn new(
        store: MergeStore,
        customers: Customers,
        subscriptions: Subscriptions,
        redemptions: Redemptions,
        ledgers: Ledgers,
        clock: SharedClock,
    ) -> Self {
        Self { store, customers, subscriptions, redemptions, ledgers, clock }
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Merged> {
        self.answer(self.store.get(scope, id).await?).await
    }

    async fn answer(&self, merge: Stored<Merge>) -> Result<Merged> {
        let customer = self.customers.get(&merge.scope, &merge.body.survivor_id).await?;
        Ok(Merged { merge, customer })
    }

    /// Makes two customers one. The same again answers the first merge.
    pub async fn merge(&self, caller: &Caller, pair: &Pair) -> Result<Merged> {
        let scope = caller.scope()?;
        let Pair { survivor: (survivor_id, _), absorbed: (absorbed_id, _) } = pair;
        if survivor_id == absorbed_id {
            return Err(Error::field("absorbed_id", "same_customer", "is the survivor itself"));
        }
        for _ in 0..TRIES {
            if let Some(known) = self.store.standing(scope, absorbed_id).await? {
                if known.body.survivor_id == *survivor_id {
                    return self.answer(known).await;
                }
                let text = format!("this customer is part of {} already", known.body.survivor_id);
                return Err(Error::Refused("already_merged", text));
            }
            let plan = self.plan(caller, scope, pair).await?;
            match plan.carry_out().await {
                Ok((merge, customer)) => {
                    let Merge { survivor_id, absorbed_id, .. } = &merge.body;
                    // What was shown while the transaction ran.
                    self.redemptions.move_rest(scope, absorbed_id, survivor_id).await?;
                    return Ok(Merged { merge, customer });
                }
                // Look again: the customers' own versions are compared with what the caller read.
                Err(store::Error::Stale(_) | store::Error::Duplicate(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    async fn plan(&self, caller: &Caller, scope: &Scope, pair: &Pair) -> Result<Plan> {
        let survivor = self.customers.record(scope, &pair.survivor.0).await?;
        let absorbed = self.customers.record(scope, &pair.absorbed.0).await?;
        if let Some(into) = &survivor.body.merged_into {
            return Err(Error::Refused("already_merged", format!("the survivor is part of {into} itself")));
        }
        if [&survivor, &absorbed].iter().any(|c| c.body.state == State::Erased) {
            let text = "somebody who was erased cannot be merged";
            return Err(Error::Refused("customer_erased", text.into()));
        }
        if (survivor.version, absorbed.version) != (pair.survivor.1, pair.absorbed.1) {
            return Err(Error::Stale);
        }
        let now = self.clock.now();
        let own = self.subscriptions.all_of(scope, &survivor.id).await?;
        let theirs = self.subscriptions.all_of(scope, &absorbed.id).await?;
        let redemption_ids = self.redemptions.ids_of(scope, &absorbed.id).await?;
        let ledger = self.ledgers.own(scope, &survivor.id).await?;
        let given = self.ledgers.own(scope, &absorbed.id).await?;
        let holds = ledger.body.joined(&given.body);
        let (united, kept, taken) = unite((&survivor.id, &survivor.body), (&absorbed.id, &absorbed.body));
        let all: Vec<_> = own.iter().chain(&theirs).map(|s| s.body.clone()).collect();
        let united = united.derived(&all, holds.is_saved(now));
        let merge = Merge {
            survivor_id: survivor.id.clone(),
            absorbed_id: absorbed.id.clone(),
            taken,
            subscription_ids: theirs.iter().map(|s| s.id.clone()).collect(),
            redemption_ids: redemption_ids.clone(),
            grant_ids: given.body.grants.iter().map(|g| g.redemption_id.clone()).collect(),
            by: caller.actor.id.clone(),
            merged_at: now,
            undo_until: kit::time::add_days(now, UNDO_DAYS),
            undone_at: None,
            standing: Some(true),
        };
        let id = kit::id::new("mrg");
        let moved = (absorbed.id.clone(), survivor.id.clone(), redemption_ids);
        Ok(Plan {
            merges: self.clone(),
            subscriptions: self.moved(theirs, &survivor.id),
            ledgers: [(ledger, holds), (given, Ledger::default())],
            survivor: self.told(caller, survivor, united, Some((&id, &merge))).await?,
            absorbed: Change { read: absorbed, next: kept, events: Vec::new() },
            redemptions: moved,
            noted: Noted::New(id),
            merge,
        })
    }

    /// A customer that changes, with what the others hear: of the merge, too, where it is given.
    async fn told(
        &self,
        caller: &Caller,
        read: Stored<Customer>,
        next: Customer,
        merge: Option<(&str, &Merge)>,
    ) -> Result<Change<Customer>> {
        let undone = merge.is_some_and(|(_, m)| m.undone_at.is_some());
        let action = if undone { "customer.unmerge" } else { "customer.merge" };
        let definitions = self.customers.definitions(&read.scope).await?;
        let subject = (read.id.as_str(), read.version + 1);
        let mut events =
            self.customers.events(caller, &read.scope, subject, &next, read.created_at, &definitions, action);
        if let Some((id, merge)) = merge {
            let stamp =
                Stamp { scope: &read.scope, subject: &read.id, sequence: subject.1, at: self.clock.now() };
            events.push(stamp.customer_merged(id, merge));
        }
        Ok(Change { read, next, events })
    }

    fn moved(&self, subscriptions: Vec<Stored<Subscription>>, to: &str) -> Vec<Change<Subscription>> {
        let at = self.clock.now();
        let moved = |read: Stored<Subscription>| {
            let next = Subscription { customer_id: to.to_owned(), ..read.body.clone() };
            let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at };
            let events = vec![stamp.subscription_changed(&next, Some(&read.body))];
            Change { read, next, events }
        };
        subscriptions.into_iter().map(moved).collect()
    }

    /// Takes a merge back. What came after it stays with the survivor.
    pub async fn undo(&self, caller: &Caller, id: &str) -> Result<Merged> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            if read.body.undone_at.is_some() {
                return self.answer(read).await;
            }
            match self.plan_undo(caller, read).await?.carry_out().await {
                Ok((merge, customer)) => return Ok(Merged { merge, customer }),
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    async fn plan_undo(&self, caller: &Caller, read: Stored<Merge>) -> Result<Plan> {
        let (scope, m, now) = (&read.scope, &read.body, self.clock.now());
        if now > m.undo_until {
            let text = format!("a merge can be taken back for {UNDO_DAYS} days");
            return Err(Error::Refused("undo_expired", text));
        }
        let survivor = self.customers.record(scope, &m.survivor_id).await?;
        let absorbed = self.customers.record(scope, &m.absorbed_id).await?;
        if let Some(into) = &survivor.body.merged_into {
            let text = format!("the survivor became part of {into} since: undo that merge first");
            return Err(Error::Refused("merged_again", text));
        }
        if survivor.body.state == State::Erased {
            let text = "the survivor was erased, and the other one with it";
            return Err(Error::Refused("customer_erased", text.into()));
        }
        let all = self.subscriptions.all_of(scope, &survivor.id).await?;
        let (theirs, own): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|s| m.subscription_ids.contains(&s.id));
        let ledger = self.ledgers.own(scope, &survivor.id).await?;
        let given = self.ledgers.own(scope, &absorbed.id).await?;
        let (holds, gives) = ledger.body.parted(&m.grant_ids);
        let gives = given.body.joined(&gives);
        let bodies = |all: &[Stored<Subscription>]| all.iter().map(|s| s.body.clone()).collect::<Vec<_>>();
        let (one, other) = part(&survivor.body, &absorbed.body, &m.taken);
        let one = one.derived(&bodies(&own), holds.is_saved(now));
        let other = other.derived(&bodies(&theirs), gives.is_saved(now));
        let merge = m.undone(now);
        let moved = (survivor.id.clone(), absorbed.id.clone(), m.redemption_ids.clone());
        Ok(Plan {
            merges: self.clone(),
            subscriptions: self.moved(theirs, &absorbed.id),
            ledgers: [(ledger, holds), (given, gives)],
            survivor: self.told(caller, survivor, one, Some((&read.id, &merge))).await?,
            absorbed: self.told(&silent(scope), absorbed, other, None).await?,
            redemptions: moved,
            noted: Noted::Was(Box::new(read.clone())),
            merge,
        })
    }

    /// Whoever is shown with a customer: the customer, and the records that became part of it.
    pub async fn whole(&self, scope: &Scope, id: &str) -> Result<Vec<String>> {
        let customer = self.customers.get(scope, id).await?;
        let parts = self.customers.store().absorbed(scope, &customer.id).await?;
        Ok(std::iter::once(customer.id).chain(parts.into_iter().map(|c| c.id)).collect())
    }

    /// The customer was erased: what is kept for undoing merges goes as well, and the others hear of each record.
    pub async fn forget(&self, scope: &Scope, survivor: &str) -> Result<()> {
        let now = self.clock.now();
        for read in self.customers.store().absorbed(scope, survivor).await? {
            if read.body.state != State::Erased {
                let next = Customer {
                    state: State::Erased,
                    merged_into: read.body.merged_into.clone(),
                    ..Customer::new(format!("erased-{}", read.id))
                };
                let stamp = Stamp { scope, subject: &read.id, sequence: read.version + 1, at: now };
                self.customers.store().replace(&read, next, vec![stamp.customer_erased()]).await?;
            }
            for merge in self.store.joined_into(scope, &read.id).await? {
                self.store.replace(&merge, merge.body.forgotten(now), Vec::new()).await?;
            }
        }
        for merge in self.store.joined_into(scope, survivor).await? {
            if merge.body.taken != super::Taken::default() {
                self.store.replace(&merge, merge.body.forgotten(now), Vec::new()).await?;
            }
        }
        Ok(())
    }
}

/// The undo is told of once, at the survivor.
fn silent(scope: &Scope) -> Caller {
    Caller::internal(crate::NAME, Some(scope.clone()))
}

impl From<Done> for Merged {
    fn from((merge, customer): Done) -> Self {
        Self { merge, customer }
    }
}
