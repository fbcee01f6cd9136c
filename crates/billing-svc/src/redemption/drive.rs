//! The way of a claimed redemption to its end, `verified` or `reversed`. Every step is one conditional write or one
//! provider call under the redemption's own key, so whoever finds it half-way, after a crash, walks on from there: the
//! provider does each act once, and limit and budget are given back exactly when the effect is not there.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use kit::{Outgoing, Timestamp};
use store::{Lease, Stored, Transaction};

use super::model::{Redemption, State};
use super::ops::Redemptions;
use super::walk::{Next, Told, Trouble, Walk};
use crate::error::{Error, Result};
use crate::offer::Ledger;
use crate::providers::{Act, ExternalId, IdempotencyKey, ProviderError, Snapshot};
use crate::request_lock;

/// How long a claim waits for somebody else who works on the same subscription.
const WAIT: Duration = Duration::from_secs(8);
/// How long one is left alone by the job: its own request is at work, or the last try was just now.
const QUIET_SECONDS: i64 = 20;
/// How many the job looks at in one go, and how many it walks on with at once.
const BATCH: u32 = 100;
const ABREAST: usize = 8;

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
        let outcome = lease.during(Box::pin(self.walk(&lease, &read))).await;
        lease.release().await;
        let stored = match outcome {
            Ok(stored) => stored?,
            // A slow provider, and somebody took the lease meanwhile.
            Err(_) => self.store.get(&read.scope, &read.id).await?,
        };
        if !stored.body.state.is_under_way() {
            self.subscriptions.follow(&stored.scope, &stored.body.customer_id).await?;
        }
        Ok(stored)
    }

    /// Walks on with those that were left half-way. Done by a task, every few seconds. Those that cannot go on keep no
    /// other waiting: a company whose provider is gone for good may have many of them.
    pub async fn finish_stuck(&self) -> Result<u64> {
        let quiet = jiff::SignedDuration::from_secs(QUIET_SECONDS);
        let before = self.clocks.machine().checked_sub(quiet).unwrap_or(Timestamp::MIN);
        let (mut finished, mut last) = (0, String::new());
        loop {
            let page = self.store.stuck_since(before, &last, BATCH).await?;
            let Some(end) = page.last().map(|r| r.id.clone()) else { return Ok(finished) };
            last = end;
            finished += stream::iter(page)
                .map(|read| async move { u64::from(self.walked_on(read).await) })
                .buffer_unordered(ABREAST)
                .fold(0, async |sum, one| sum + one)
                .await;
        }
    }

    /// Whether it came to an end.
    async fn walked_on(&self, read: Stored<Redemption>) -> bool {
        let id = read.id.clone();
        match self.drive(read).await {
            Ok(stored) if !stored.body.state.is_under_way() => {
                tracing::info!(
                    redemption.id = %id,
                    "redemption {id} was left half-way and is now {}",
                    stored.body.state.as_str()
                );
                true
            }
            Ok(_) => false,
            Err(e) => {
                tracing::warn!(redemption.id = %id, error = %e, "redemption {id} cannot go on: {e}");
                false
            }
        }
    }

    /// Does what `walk.rs` says is next, until it says that nothing is.
    async fn walk(&self, lease: &Lease, read: &Stored<Redemption>) -> Result<Stored<Redemption>> {
        // Only what stands there now counts: another holder of the lease may have gone on meanwhile.
        let mut r = self.store.get(&read.scope, &read.id).await?;
        loop {
            let waits = r.body.state == State::Claimed
                && self.store.of_subscription(&r).await?.iter().any(|other| other.body.is_unsettled());
            let Some((mut walk, mut next)) = Walk::from(&r.body, &r.id, lease.token(), waits)? else {
                return Ok(r);
            };
            let mut rests = false;
            let written = loop {
                let told = match next {
                    Next::Look { shown } => self.looked(&r, shown).await,
                    Next::Ask { act, key } => {
                        // The lease must outlive the call; lost, it is somebody else's turn.
                        if lease.renew().await.is_err() {
                            return Ok(r);
                        }
                        self.asked(&r, &act, &key).await?
                    }
                    Next::Save(next) => break self.save(&r, *next, None).await,
                    Next::Note(next) => {
                        rests = true;
                        break self.save(&r, *next, None).await;
                    }
                    Next::GiveBack { ended, replaced } => {
                        break self.give_back(&r, *ended, replaced, None).await;
                    }
                    Next::Rest => return Ok(r),
                };
                next = walk.on(told, self.clocks.now(&r.scope).await?)?;
            };
            r = match written {
                Ok(next) => next,
                // A later holder of the lease went on with it.
                Err(Error::Store(store::Error::Stale(_))) => {
                    return Ok(self.store.get(&read.scope, &read.id).await?);
                }
                Err(other) => return Err(other),
            };
            if r.body.state == State::Verified {
                let provider = r.body.provider.as_str();
                tracing::info!(redemption.id = %r.id, "redemption {} verified at {provider}", r.id);
            }
            if rests {
                return Ok(r);
            }
        }
    }

    /// What the provider shows. `shown`: also of what was promised.
    async fn looked(&self, r: &Stored<Redemption>, shown: bool) -> Told {
        match self.looked_at(r, shown).await {
            Ok((snapshot, shown)) => Told::Looked { snapshot: Box::new(snapshot), shown },
            Err(e) => {
                tracing::warn!(redemption.id = %r.id, error = %e, "redemption {} cannot be looked at: {e}", r.id);
                Told::Trouble(Trouble { slug: e.slug(), uncertain: false })
            }
        }
    }

    async fn asked(&self, r: &Stored<Redemption>, act: &Act, key: &IdempotencyKey) -> Result<Told> {
        let answer = async {
            let subscription = self.subscriptions.get(&r.scope, &r.body.subscription_id).await?;
            let external = subscription.body.external_id.as_str().into();
            Ok(self.provider(r).await?.apply(&external, act, key).await?)
        };
        let (slug, uncertain, error) = match answer.await {
            Ok(receipt) => return Ok(Told::Answered(receipt)),
            Err(Error::Provider(e)) => {
                (e.slug(), e.is_uncertain() || matches!(e, ProviderError::KeyReused), Error::Provider(e))
            }
            // Not asked. What is to be undone waits for better days; what is to be done is left to whoever asks again.
            Err(e) if r.body.state == State::Failed => (e.slug(), false, e),
            Err(e) => return Err(e),
        };
        let name = act.name();
        tracing::warn!(redemption.id = %r.id, error = %error, "{name} of redemption {} met trouble: {error}", r.id);
        Ok(Told::Trouble(Trouble { slug, uncertain }))
    }

    /// Ends a redemption and gives limit and budget back, in one transaction.
    pub(super) async fn give_back(
        &self,
        read: &Stored<Redemption>,
        ended: Redemption,
        replaced: bool,
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
                replaced,
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

    /// The subscription at the provider, and whether what was promised is there.
    async fn looked_at(
        &self,
        r: &Stored<Redemption>,
        shown: bool,
    ) -> Result<(Snapshot, Option<Option<ExternalId>>)> {
        let snapshot = self.read_provider(r).await?;
        let shown = if shown { self.shown(r, &snapshot).await? } else { None };
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
    replaced: bool,
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
            let left = self.ledger.body.without(&self.read.id, self.replaced);
            ledgers.replace(tx, &self.ledger, left).await?;
            let (ended, events) = (self.ended.clone(), self.events.clone());
            self.ops.store.replace_in(tx, &self.read, ended, events).await
        })
    }
}
