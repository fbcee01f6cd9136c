//! The way of a claimed redemption to its end, `verified` or `reversed`. Every step is one conditional write or one
//! provider call under the redemption's own key, so whoever finds it half-way, after a crash, walks on from there: the
//! provider does each act once, and limit and budget are given back exactly when the effect is not there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kit::{Outgoing, Timestamp};
use store::{Lease, Stored, Transaction};

use super::model::{Before, Redemption, State};
use super::ops::Redemptions;
use crate::error::{Error, Result};
use crate::offer::Ledger;
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Snapshot};
use crate::request_lock;

/// How long a claim waits for somebody else who works on the same subscription.
const WAIT: Duration = Duration::from_secs(8);
/// How often the provider is read until it shows the effect, before the job is left to look again.
const READS: u32 = 3;
/// How long one is left alone by the job: its own request is at work, or the last try was just now.
const QUIET_SECONDS: i64 = 20;

/// What one step came to.
enum Step {
    /// Further on.
    On(Stored<Redemption>),
    /// For now nothing more can be done; the job comes back to it.
    Wait(Stored<Redemption>),
}

impl Redemptions {
    /// Walks a redemption to its end, as far as the provider lets us now.
    pub(super) async fn drive(&self, read: Stored<Redemption>) -> Result<Stored<Redemption>> {
        let lock = request_lock::subscription(&read.body.subscription_id);
        let lease = match request_lock::hold(&self.leases, &lock, "redemption", WAIT).await {
            Ok(lease) => lease,
            // Whoever holds it may be finishing this very redemption.
            Err(Error::Busy) => return Ok(self.store.get(&read.scope, &read.id).await?),
            Err(other) => return Err(other),
        };
        // On the heap: the way is long, and so is what it remembers between its steps.
        let outcome = Box::pin(self.walk(&lease, &read)).await;
        lease.release().await;
        let stored = outcome?;
        if !stored.body.state.is_under_way() {
            self.subscriptions.follow(&stored.scope, &stored.body.customer_id).await?;
        }
        Ok(stored)
    }

    /// Walks on with those that were left half-way. Done by a task, every few seconds.
    pub async fn finish_stuck(&self) -> Result<u64> {
        let quiet = jiff::SignedDuration::from_secs(QUIET_SECONDS);
        let before = self.clock.now().checked_sub(quiet).unwrap_or(Timestamp::MIN);
        let mut finished = 0;
        for read in self.store.stuck_since(before).await? {
            let id = read.id.clone();
            match self.drive(read).await {
                Ok(stored) if !stored.body.state.is_under_way() => {
                    tracing::info!(
                        redemption.id = %id,
                        "redemption {id} was left half-way and is now {}",
                        stored.body.state.as_str()
                    );
                    finished += 1;
                }
                Ok(_) => {}
                Err(e) => {
                    tracing::warn!(redemption.id = %id, error = %e, "redemption {id} cannot go on: {e}")
                }
            }
        }
        Ok(finished)
    }

    async fn walk(&self, lease: &Lease, read: &Stored<Redemption>) -> Result<Stored<Redemption>> {
        // Only what stands there now counts: another holder of the lease may have gone on meanwhile.
        let mut r = self.store.get(&read.scope, &read.id).await?;
        loop {
            let step = match r.body.state {
                State::Claimed => self.begin(lease, r).await,
                State::Applying => self.apply(lease, r).await,
                State::Applied => self.verify(r).await,
                State::Failed => self.undo(lease, r).await,
                _ => return Ok(r),
            };
            r = match step {
                Ok(Step::On(next)) => next,
                Ok(Step::Wait(stays)) => return Ok(stays),
                // A later holder of the lease went on with it.
                Err(Error::Store(store::Error::Stale(_))) => {
                    return Ok(self.store.get(&read.scope, &read.id).await?);
                }
                Err(other) => return Err(other),
            };
        }
    }

    /// `claimed → fulfil_pending`, where the company does it itself; `claimed → applying`, with how the subscription stood before; or `failed`, where giving it would now break what
    /// was agreed.
    async fn begin(&self, lease: &Lease, r: Stored<Redemption>) -> Result<Step> {
        if r.body.terms.is_by_hand() {
            return Ok(Step::On(self.save(&r, r.body.pending()?, None).await?));
        }
        let snapshot = match self.read_provider(&r).await {
            Ok(snapshot) => snapshot,
            Err(e) => return self.troubled(r, &e).await,
        };
        if let Some(why) = r.body.collides_with(&snapshot, self.clock.now()) {
            return Ok(Step::On(self.save(&r, r.body.failed(why)?, None).await?));
        }
        let next = r.body.applying(Before::of(&snapshot), lease.token())?;
        Ok(Step::On(self.save(&r, next, None).await?))
    }

    /// `applying → applied`: the provider call, under the redemption's id as key.
    async fn apply(&self, lease: &Lease, r: Stored<Redemption>) -> Result<Step> {
        // Somebody else's attempt: the effect may be there already, which is all we want.
        if r.body.fence != lease.token() {
            let snapshot = match self.read_provider(&r).await {
                Ok(snapshot) => snapshot,
                Err(e) => return self.troubled(r, &e).await,
            };
            let shown = match self.shown(&r, &snapshot).await {
                Ok(shown) => shown,
                Err(e) => return self.troubled(r, &e).await,
            };
            if shown.is_some() {
                let next = r.body.applied(&crate::providers::Receipt::default(), self.clock.now())?;
                return Ok(Step::On(self.save(&r, next, None).await?));
            }
            let next = r.body.applying(Before::of(&snapshot), lease.token())?;
            return Ok(Step::On(self.save(&r, next, None).await?));
        }
        let Some(act) = r.body.act() else {
            return Ok(Step::On(self.save(&r, r.body.failed("nothing_to_apply")?, None).await?));
        };
        // The lease must outlive the call; lost, it is somebody else's turn.
        if lease.renew().await.is_err() {
            return Ok(Step::Wait(r));
        }
        let subscription = self.subscriptions.get(&r.scope, &r.body.subscription_id).await?;
        let external = subscription.body.external_id.as_str().into();
        let key = IdempotencyKey::new(&r.id);
        match self.provider(&r).await?.apply(&external, &act, &key).await {
            Ok(receipt) => {
                let next = r.body.applied(&receipt, self.clock.now())?;
                Ok(Step::On(self.save(&r, next, None).await?))
            }
            Err(e) if e.is_uncertain() || matches!(e, ProviderError::KeyReused) => {
                tracing::warn!(redemption.id = %r.id, error = %e, "redemption {} is uncertain: {e}", r.id);
                match self.looked_at(&r).await {
                    Ok((_, Some(_))) => {
                        let next = r.body.applied(&crate::providers::Receipt::default(), self.clock.now())?;
                        Ok(Step::On(self.save(&r, next, None).await?))
                    }
                    _ => self.troubled(r, &e).await,
                }
            }
            Err(e) => {
                let next = r.body.failed(e.slug())?;
                Ok(Step::On(self.save(&r, next, None).await?))
            }
        }
    }

    /// `applied → verified`, when the provider shows it.
    async fn verify(&self, r: Stored<Redemption>) -> Result<Step> {
        for _ in 0..READS {
            match self.looked_at(&r).await {
                Err(e) => return self.troubled(r, &e).await,
                Ok((_, shown)) => {
                    if let Some(effect) = shown {
                        let next = r.body.verified(effect, self.clock.now())?;
                        tracing::info!(
                            redemption.id = %r.id,
                            "redemption {} verified at {}",
                            r.id,
                            r.body.provider.as_str()
                        );
                        return Ok(Step::On(self.save(&r, next, None).await?));
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        if r.body.out_of_patience(self.clock.now()) {
            return Ok(Step::On(self.save(&r, r.body.failed("not_confirmed")?, None).await?));
        }
        Ok(Step::Wait(r))
    }

    /// `failed → reversed`: whatever was done is undone and read back; then one transaction gives limit and budget
    /// back. A failed redemption never burns the customer's chance.
    async fn undo(&self, lease: &Lease, r: Stored<Redemption>) -> Result<Step> {
        // Nothing was begun, so there is nothing to undo, whether or not the provider answers.
        if let Some(before) = r.body.before.clone() {
            // What cannot be undone and turns out to have been done is not given back but stands.
            if !r.body.terms.is_reversible() {
                return Ok(match self.looked_at(&r).await {
                    Ok((_, Some(_))) => {
                        Step::On(self.save(&r, r.body.applying(before, lease.token())?, None).await?)
                    }
                    Ok((_, None)) => Step::On(self.give_back(&r, r.body.reversed()?, None).await?),
                    Err(e) => {
                        tracing::warn!(redemption.id = %r.id, error = %e, "redemption {} is uncertain: {e}", r.id);
                        Step::Wait(r)
                    }
                });
            }
            match self.take_away(&r).await {
                Ok(true) => {}
                Ok(false) => return Ok(Step::Wait(r)),
                Err(e) => {
                    tracing::warn!(redemption.id = %r.id, error = %e, "redemption {} cannot be undone yet: {e}", r.id);
                    return Ok(Step::Wait(r));
                }
            }
        }
        Ok(Step::On(self.give_back(&r, r.body.reversed()?, None).await?))
    }

    /// Whether nothing of the effect is left at the provider, after asking it to take it away.
    async fn take_away(&self, r: &Stored<Redemption>) -> Result<bool> {
        let (snapshot, shown) = self.looked_at(r).await?;
        let Some(act) = r.body.undo(&snapshot, shown) else { return Ok(true) };
        let subscription = self.subscriptions.get(&r.scope, &r.body.subscription_id).await?;
        let external = subscription.body.external_id.as_str().into();
        let key = IdempotencyKey::new(format!("{}:undo", r.id));
        self.provider(r).await?.apply(&external, &act, &key).await?;
        let (after, shown) = self.looked_at(r).await?;
        Ok(r.body.undo(&after, shown).is_none())
    }

    /// Ends a redemption and gives limit and budget back, in one transaction.
    pub(super) async fn give_back(
        &self,
        read: &Stored<Redemption>,
        ended: Redemption,
        audit: Option<Outgoing>,
    ) -> Result<Stored<Redemption>> {
        let scope = &read.scope;
        let event = self.stamp(scope, &read.id, read.version + 1).redemption_changed(&ended);
        let events: Vec<_> = std::iter::once(event).chain(audit).collect();
        for _ in 0..8 {
            let giving = Arc::new(Giving {
                ops: self.clone(),
                read: read.clone(),
                ledger: self.ledgers.own(scope, &read.body.customer_id).await?,
                ended: ended.clone(),
                events: events.clone(),
            });
            let given =
                store::transaction(self.store.db(), async move |tx| giving.clone().run(tx).await).await;
            match given {
                // The ledger or the redemption moved on; if it was the redemption, its new state says so.
                Err(store::Error::Stale(_)) => {
                    let now = self.store.get(scope, &read.id).await?;
                    if now.version != read.version {
                        return Ok(now);
                    }
                }
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// The provider did not help: wait for the job while there is patience, else give up.
    async fn troubled(&self, r: Stored<Redemption>, error: &(dyn kit::Coded + Send + Sync)) -> Result<Step> {
        let slug = error.code().1;
        if r.body.out_of_patience(self.clock.now()) {
            return Ok(Step::On(self.save(&r, r.body.failed(slug)?, None).await?));
        }
        Ok(Step::Wait(r))
    }

    /// The subscription at the provider, and whether what was promised is there.
    async fn looked_at(&self, r: &Stored<Redemption>) -> Result<(Snapshot, Option<Option<ExternalId>>)> {
        let snapshot = self.read_provider(r).await?;
        let shown = self.shown(r, &snapshot).await?;
        Ok((snapshot, shown))
    }

    async fn shown(&self, r: &Stored<Redemption>, snapshot: &Snapshot) -> Result<Option<Option<ExternalId>>> {
        if r.body.shows_in_subscriptions() {
            return Ok(r.body.shows_in(snapshot));
        }
        let given = self.provider(r).await?.given(&snapshot.id, &IdempotencyKey::new(&r.id)).await?;
        Ok(given.map(Some))
    }

    /// What the provider shows; the mirror learns it, too.
    async fn read_provider(&self, r: &Stored<Redemption>) -> Result<Snapshot> {
        let subscription = self.subscriptions.get(&r.scope, &r.body.subscription_id).await?;
        Ok(self.subscriptions.read_back(&r.scope, &subscription.body).await?.0)
    }
}

/// Everything the end of a redemption writes that is not to stand.
struct Giving {
    ops: Redemptions,
    read: Stored<Redemption>,
    ledger: Stored<Ledger>,
    ended: Redemption,
    events: Vec<Outgoing>,
}

impl Giving {
    /// Boxed for the same reason as a claim's.
    fn run(
        self: Arc<Self>,
        tx: &mut Transaction,
    ) -> BoxFuture<'_, std::result::Result<Stored<Redemption>, store::Error>> {
        Box::pin(async move {
            let (scope, r) = (&self.read.scope, &self.read.body);
            let ledgers = &self.ops.ledgers;
            let spent = r.budget_month.as_deref().zip(r.cost.map(|c| c.minor));
            ledgers.give_back(tx, scope, &r.offer_id, spent).await?;
            ledgers.replace(tx, &self.ledger, self.ledger.body.without(&self.read.id)).await?;
            let (ended, events) = (self.ended.clone(), self.events.clone());
            self.ops.store.replace_in(tx, &self.read, ended, events).await
        })
    }
}
