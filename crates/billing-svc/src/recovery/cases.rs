//! What is done with cases: opened, ended, stopped. What they do by the clock is `step.rs`.

use jiff::tz::TimeZone;
use kit::{Caller, Page, PageRequest, Scope};
use serde_json::json;
use store::{Leases, Stored};

use super::campaigns::Campaigns;
use super::case::{Case, Next, Seen, State, goes_on, seen};
use super::store::{CaseFilter, CaseStore};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::offer::Offers;
use crate::redemption::Redemptions;
use crate::subscription::{State as SubscriptionState, Subscription, Subscriptions};
use crate::test_clock::Clocks;
use crate::upstream::Directory;

/// The use cases of cases.
#[derive(Clone)]
pub struct Cases {
    pub(crate) store: CaseStore,
    pub(crate) campaigns: Campaigns,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) offers: Offers,
    pub(crate) redemptions: Redemptions,
    pub(crate) directory: Directory,
    pub(crate) leases: Leases,
    pub(crate) clocks: Clocks,
}

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;

impl Cases {
    pub async fn list(
        &self,
        caller: &Caller,
        filter: &CaseFilter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Case>>> {
        Ok(self.store.list(caller.scope()?, filter, page).await?)
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Case>> {
        Ok(self.store.get(scope, id).await?)
    }

    /// Brings a subscription and its case in line: opens one where it is past due, ends it where that is over. It reads
    /// the subscription as it stands, so the news that led here may come twice, late or in any order.
    pub async fn follow(&self, scope: &Scope, subscription_id: &str) -> Result<()> {
        for _ in 0..TRIES {
            let s = match self.subscriptions.get(scope, subscription_id).await {
                Err(Error::Store(store::Error::NotFound(_))) => return Ok(()),
                other => other?.body,
            };
            let outcome = match self.store.holding(scope, subscription_id).await? {
                Some(case) => self.settle(&case, &s).await.map(|_| false),
                // Whoever asked to be left in peace, or is gone, is not written to.
                None if s.state == SubscriptionState::PastDue
                    && self.subscriptions.is_withdrawn(scope, &s.customer_id).await? =>
                {
                    return Ok(());
                }
                None if s.state == SubscriptionState::PastDue => {
                    // And once more: what moved the subscription since it was read found no case to end.
                    self.open(scope, subscription_id, &s).await.map(|()| true)
                }
                None => return Ok(()),
            };
            match outcome {
                Ok(true) | Err(Error::Store(store::Error::Stale(_) | store::Error::Duplicate(_))) => {}
                Ok(false) => return Ok(()),
                Err(other) => return Err(other),
            }
        }
        Err(Error::Busy)
    }

    async fn open(&self, scope: &Scope, subscription_id: &str, s: &Subscription) -> Result<()> {
        let personas = self.campaigns.personas(scope, &s.customer_id).await?;
        let found = self.campaigns.for_customer(scope, &personas).await?;
        let zone = match &found {
            // Asked only where somebody wants to know.
            Some((_, plan)) if plan.steps.iter().any(|step| step.hour.is_some()) => {
                self.directory.time_zone(&scope.company).await?
            }
            _ => TimeZone::UTC,
        };
        let now = self.clocks.now(scope).await?;
        let run_by = found.as_ref().map(|(pin, plan)| (pin.clone(), plan, &zone));
        let case = Case::opened(subscription_id, s, personas, run_by, now);
        let id = kit::id::new("rcs");
        let stamp = Stamp { scope, subject: &id, sequence: 1, at: self.clocks.machine() };
        let events = vec![stamp.recovery_case(&case)];
        let campaign = found.map_or_else(|| "no campaign".to_owned(), |(pin, _)| pin.campaign_id);
        self.store.insert(scope, id.clone(), case, events).await?;
        tracing::info!(recovery.id = %id, "case {id} was opened, by {campaign}");
        Ok(())
    }

    /// Ends a case that is over by what the subscription shows, and lets the episode go when it is over, too.
    pub(super) async fn settle(&self, read: &Stored<Case>, s: &Subscription) -> Result<Stored<Case>> {
        let (case, holds) = (&read.body, goes_on(s));
        if case.state.is_final() {
            return if holds {
                Ok(read.clone())
            } else {
                Ok(self.store.replace(read, case.released(), Vec::new()).await?)
            };
        }
        let seen = seen(s);
        // The clock is the step's business; here only what the subscription says counts.
        match case.next(seen, false, case.failed_at) {
            Next::End(state, reason) if seen != Seen::StillDue => self.end(read, state, reason, holds).await,
            _ => Ok(read.clone()),
        }
    }

    pub(super) async fn end(
        &self,
        read: &Stored<Case>,
        state: State,
        reason: &str,
        holds: bool,
    ) -> Result<Stored<Case>> {
        let next = read.body.ended(state, reason, holds, self.clocks.now(&read.scope).await?);
        let at = self.clocks.machine();
        let stamp = Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at };
        let events = vec![stamp.recovery_case(&next)];
        let stored = self.store.replace(read, next, events).await?;
        tracing::info!(recovery.id = %read.id, "case {} is {}: {reason}", read.id, state.as_str());
        Ok(stored)
    }

    /// Stops every case of a customer that runs: nothing further is sent. How many there were.
    pub(crate) async fn stop_all(&self, scope: &Scope, customer_id: &str, why: &str) -> Result<u64> {
        let (mut stopped, mut cursor) = (0, String::new());
        loop {
            let filter = CaseFilter { customer_id: Some(customer_id.to_owned()), ..CaseFilter::default() };
            let page = self.store.list(scope, &filter, &PageRequest::new(200, cursor)).await?;
            for read in page.items.iter().filter(|c| !c.body.state.is_final()) {
                match self.end(read, State::Stopped, why, true).await {
                    Ok(ended) => {
                        stopped += 1;
                        // The episode may be over already.
                        let s = self.subscriptions.get(scope, &ended.body.subscription_id).await?;
                        match self.settle(&ended, &s.body).await {
                            Ok(_) | Err(Error::Store(store::Error::Stale(_))) => {}
                            Err(other) => return Err(other),
                        }
                    }
                    // A step was taken meanwhile: whoever asked for this asks again.
                    Err(Error::Store(store::Error::Stale(_))) => return Err(Error::Busy),
                    Err(other) => return Err(other),
                }
            }
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(stopped),
            }
        }
    }

    /// Stops a case: nothing further is sent.
    pub async fn stop(&self, caller: &Caller, id: &str, why: &str) -> Result<Stored<Case>> {
        let scope = caller.scope()?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            match read.body.state {
                State::Stopped => return Ok(read),
                state if state.is_final() => {
                    let text = format!("a case that is {} cannot be stopped", state.as_str());
                    return Err(Error::Refused("wrong_state", text));
                }
                _ => {}
            }
            let now = self.clocks.now(scope).await?;
            let next = read.body.ended(State::Stopped, "stopped_by_admin", true, now);
            let stamp = Stamp { scope, subject: id, sequence: read.version + 1, at: self.clocks.machine() };
            let said = json!({ "reason": why, "subscription_id": read.body.subscription_id });
            let audit = stamp.audited(caller, "recovery_case", "recovery_case.stop", None, Some(&said));
            let events = std::iter::once(stamp.recovery_case(&next)).chain(audit).collect();
            match self.store.replace(&read, next, events).await {
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
                Ok(stopped) => {
                    // The episode may have been over already, and nothing would say so again.
                    let s = self.subscriptions.get(scope, &stopped.body.subscription_id).await?;
                    return match self.settle(&stopped, &s.body).await {
                        Err(Error::Store(store::Error::Stale(_))) => Ok(self.store.get(scope, id).await?),
                        other => other,
                    };
                }
            }
        }
        Err(Error::Busy)
    }
}
