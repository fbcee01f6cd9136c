//! Who is held out.

use std::time::Duration;

use kit::{Caller, Scope, SharedClock};
use moka::future::Cache;

use super::store::{Holdout, HoldoutStore};
use crate::error::Error;
use crate::events::audited;
use crate::stats::drawn;

/// How long another replica may draw by an older share.
const KEPT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Holdouts {
    store: HoldoutStore,
    /// The share where nobody set one.
    default_percent: u32,
    kept: Cache<Scope, Holdout>,
    clock: SharedClock,
}

impl Holdouts {
    pub fn new(store: HoldoutStore, default_percent: u32, clock: SharedClock) -> Self {
        let kept = Cache::builder().max_capacity(10_000).time_to_live(KEPT).build();
        Self { store, default_percent, kept, clock }
    }

    /// The holdout that is in force.
    pub async fn get(&self, scope: &Scope) -> Result<Holdout, Error> {
        if let Some(kept) = self.kept.get(scope).await {
            return Ok(kept);
        }
        let holdout = match self.store.get(scope).await? {
            Some(stored) => stored.body,
            None => Holdout {
                share_percent: self.default_percent,
                period: 1,
                started_at: kit::Timestamp::UNIX_EPOCH,
            },
        };
        self.kept.insert(scope.clone(), holdout.clone()).await;
        Ok(holdout)
    }

    /// Sets the share. The same share again begins no new period; 0 is kept like any other.
    pub async fn set(&self, caller: &Caller, share_percent: u32) -> Result<Holdout, Error> {
        let scope = caller.scope()?;
        let now = self.clock.now();
        let events = vec![audited(caller, scope, now, "holdout", &scope.company, "set")];
        let holdout = match self.store.get(scope).await? {
            Some(read) if read.body.share_percent == share_percent => return Ok(read.body),
            Some(read) => {
                let next = Holdout { share_percent, period: read.body.period + 1, started_at: now };
                self.store.replace(&read, next.clone(), events).await?;
                next
            }
            None => {
                let period = if share_percent == self.default_percent { 1 } else { 2 };
                let first = Holdout { share_percent, period, started_at: now };
                self.store.insert(scope, first.clone(), events).await?;
                first
            }
        };
        self.kept.invalidate(scope).await;
        Ok(holdout)
    }

    /// Whether a customer is kept out of offers.
    pub async fn holds_out(&self, scope: &Scope, customer: &str) -> Result<bool, Error> {
        let Holdout { share_percent, period, .. } = self.get(scope).await?;
        Ok(drawn(scope, period, customer, share_percent))
    }
}
