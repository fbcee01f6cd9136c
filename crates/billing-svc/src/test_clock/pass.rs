//! What time does: lets happen what has become due in the books of the simulated provider, tells it where every provider's
//! events go, and moves a clock that was sent on, stop after stop. All that a stop does may be done twice, so whoever dies
//! at it leaves nothing half done: the next one does it again and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kit::{Scope, Timestamp};
use store::Leases;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::clocks::Clocks;
use super::model;
use crate::connections::Connections;
use crate::error::{Error, Result};
use crate::inbound::{Inbound, Worker};
use crate::providers::ProviderKind;
use crate::providers::simulated::Books;
use crate::recovery::Cases;
use crate::redemption::Redemptions;
use crate::request_lock;
use crate::subscription::Subscriptions;

/// Lets time pass.
#[derive(Clone)]
pub struct Passing {
    pub(crate) clocks: Clocks,
    pub(crate) books: Books,
    pub(crate) connections: Connections,
    pub(crate) inbound: Inbound,
    pub(crate) worker: Worker,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) cases: Cases,
    pub(crate) redemptions: Redemptions,
    pub(crate) leases: Leases,
    pub(crate) wake: Arc<Notify>,
}

/// How often it is looked for what has become due.
const TICK: Duration = Duration::from_secs(2);
/// How many stops one clock makes before the others have their turn.
const STOPS: usize = 50;
/// How often, and how long between, it is looked whether the inbox has caught up.
const LOOKS: usize = 200;
const BETWEEN: Duration = Duration::from_millis(50);
const KIND: ProviderKind = ProviderKind::Simulated;

impl Passing {
    /// Works until stopped.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match Box::pin(self.round(&stop)).await {
                // A clock is still on its way.
                Ok(true) => continue,
                Ok(false) => {}
                Err(e) => tracing::warn!(error = %e, "time cannot pass at the simulated provider: {e}"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        Ok(())
    }

    /// Lets happen what is due everywhere; whether a clock has further to go.
    pub async fn round(&self, stop: &CancellationToken) -> Result<bool> {
        let machine = self.clocks.machine();
        let due = self.books.due_scopes(machine).await?.into_iter();
        let untold = self.books.untold_scopes().await?.into_iter();
        let mut scopes: BTreeMap<Scope, Timestamp> = due.chain(untold).map(|s| (s, machine)).collect();
        let mut moving = Vec::new();
        for clock in self.clocks.store.all().await? {
            if clock.body.moving_to.is_some() {
                scopes.remove(&clock.scope);
                moving.push(clock.scope);
            } else {
                scopes.insert(clock.scope, clock.body.shows(machine));
            }
        }
        for (scope, now) in scopes {
            // One company that fails must not keep the others' time from passing.
            if let Err(e) = self.pass(&scope, now).await {
                tracing::warn!(company.id = %scope.company, error = %e, "time cannot pass for {}: {e}", scope.company);
            }
        }
        let mut further = false;
        for scope in moving {
            match self.carry_on(&scope, stop).await {
                Ok(more) => further |= more,
                Err(e) => tracing::warn!(
                    company.id = %scope.company,
                    error = %e,
                    "the test clock of {} cannot go on: {e}",
                    scope.company
                ),
            }
        }
        Ok(further)
    }

    /// Lets happen, and tells, what is due in one company's books; whose payments were in trouble.
    async fn pass(&self, scope: &Scope, now: Timestamp) -> Result<BTreeSet<String>> {
        let mut in_trouble = self.tell(scope).await?;
        while self.books.settle_some(scope, now).await? > 0 {
            in_trouble.append(&mut self.tell(scope).await?);
        }
        Ok(in_trouble)
    }

    async fn tell(&self, scope: &Scope) -> Result<BTreeSet<String>> {
        let mut in_trouble = BTreeSet::new();
        loop {
            let untold = self.books.untold(scope).await?;
            if untold.is_empty() {
                return Ok(in_trouble);
            }
            let ids: Vec<_> = untold.iter().map(|n| n.id.clone()).collect();
            let news: Vec<_> = untold.into_iter().map(|n| n.body).collect();
            in_trouble.extend(news.iter().filter(|n| n.is_about_trouble()).map(|n| n.subscription.clone()));
            match self.connections.provider(scope, KIND).await {
                Ok(_) => {
                    let heard = news.into_iter().map(|n| n.heard()).collect();
                    self.inbound.told(scope, KIND, heard).await?;
                }
                // Nobody has given an address for webhooks. What stands there is read when somebody connects.
                Err(Error::NotConnected) => {}
                Err(other) => return Err(other),
            }
            // Told twice is heard once, as an event's id follows from what happened.
            self.books.forget(scope, &ids).await?;
        }
    }

    /// Moves a clock on; whether it has further to go.
    async fn carry_on(&self, scope: &Scope, stop: &CancellationToken) -> Result<bool> {
        let lock = request_lock::test_clock(scope);
        // Another replica is at it.
        let Ok(lease) = self.leases.acquire(&lock, crate::NAME, "test_clock").await else { return Ok(false) };
        let outcome = match Box::pin(lease.during(self.walk(scope, stop))).await {
            Ok(outcome) => outcome,
            Err(lost) => Err(lost.into()),
        };
        lease.release().await;
        outcome
    }

    async fn walk(&self, scope: &Scope, stop: &CancellationToken) -> Result<bool> {
        for _ in 0..STOPS {
            if stop.is_cancelled() {
                return Ok(false);
            }
            let Some(read) = self.clocks.of(scope).await? else { return Ok(false) };
            let Some(goal) = read.body.moving_to else { return Ok(false) };
            let now = read.body.shows(self.clocks.machine());
            self.stop_at(scope, now).await?;
            let next = if now >= goal {
                read.body.arrived()
            } else {
                let due = self.next_due(scope, now).await?;
                read.body.at(model::stop(due, goal), self.clocks.machine())
            };
            self.clocks.store.replace(&read, next, Vec::new()).await?;
        }
        Ok(true)
    }

    /// What is due at a stop, in the order in which one follows from the other.
    async fn stop_at(&self, scope: &Scope, now: Timestamp) -> Result<()> {
        let in_trouble = self.pass(scope, now).await?;
        self.inbox_empty(scope).await?;
        // They would hear of it from the bus, perhaps only when the clock shows another month.
        for external_id in in_trouble {
            if let Some(s) = self.subscriptions.known(scope, KIND, &external_id).await? {
                self.cases.follow(scope, &s.id).await?;
            }
        }
        self.cases.step_due_in(scope).await?;
        self.redemptions.exhaust_in(scope).await?;
        Ok(())
    }

    /// Waits until the mirror has heard everything that happened so far, or hears of it later: the event says where to
    /// look, and what stands there then is taken.
    async fn inbox_empty(&self, scope: &Scope) -> Result<()> {
        for _ in 0..LOOKS {
            let worked = self.worker.round().await?;
            if !self.inbound.waits(scope, KIND).await? {
                return Ok(());
            }
            if worked == 0 {
                tokio::time::sleep(BETWEEN).await;
            }
        }
        tracing::warn!(company.id = %scope.company, "the test clock of {} goes on before its inbox", scope.company);
        Ok(())
    }

    async fn next_due(&self, scope: &Scope, now: Timestamp) -> Result<Option<Timestamp>> {
        let (books, cases, effects) = tokio::join!(
            self.books.next_due(scope, now),
            self.cases.next_due(scope, now),
            self.redemptions.next_end(scope, now),
        );
        Ok([books?, cases?, effects?].into_iter().flatten().min())
    }
}
