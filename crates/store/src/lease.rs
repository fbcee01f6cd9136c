//! Leases: who may change something for a while (`RequestLock`). A holder that dies loses its lease by time; the token
//! rises with each holder, so that whoever is acted upon can refuse one that came back from the dead.

use std::time::Duration;

use bson::{Document, doc};
use jiff::SignedDuration;
use kit::{Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{Error, Index, Record, Repo, Result, Sort, Stored, time};

/// How long a lease holds when nobody renews it.
const TERM: SignedDuration = SignedDuration::from_secs(30);
/// How often a lease is renewed while work goes on under it.
const RENEW: Duration = Duration::from_secs(10);
/// How long a lease that ended is still listed for operators who ask what happened.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

/// A lease as it is stored. Its id is its key, such as `subscription:sub_1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The process that holds it.
    pub holder: String,
    pub token: i64,
    /// What it was taken for, such as `redemption`.
    pub purpose: String,
    #[serde(with = "time")]
    pub taken_at: Timestamp,
    #[serde(with = "time")]
    pub expires_at: Timestamp,
}

impl Record for Held {
    const COLLECTION: &'static str = "leases";
    const NOUN: &'static str = "lock";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.expires_at"]).ttl(REMEMBERED)]
    }
}

/// The leases of a service.
#[derive(Clone)]
pub struct Leases {
    repo: Repo<Held>,
    clock: SharedClock,
}

/// A lease in hand. Dropped without `release` it holds until it expires.
pub struct Lease {
    leases: Leases,
    key: String,
    token: i64,
}

impl Leases {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self> {
        Ok(Self { repo: Repo::open(db, clock.clone()).await?, clock })
    }

    /// Takes a lease that nobody holds; `Busy` when somebody does.
    pub async fn acquire(&self, key: &str, holder: &str, purpose: &str) -> Result<Lease> {
        let (now, scope) = (self.clock.now(), Scope::platform());
        let guard = doc! { "body.expires_at": { "$lte": time::to_bson(now) } };
        let update = doc! {
            "$set": {
                "body.holder": holder,
                "body.purpose": purpose,
                "body.taken_at": time::to_bson(now),
                "body.expires_at": time::to_bson(self.end(now)),
            },
            "$inc": { "body.token": 1_i64 },
        };
        if let Some(held) = self.repo.update(&scope, key, guard, update, Vec::new()).await? {
            return Ok(self.in_hand(key, held.body.token));
        }
        // Tokens begin at the time, so that they rise even after a long unused lease was forgotten.
        let token = now.as_millisecond();
        let held = Held {
            holder: holder.to_owned(),
            token,
            purpose: purpose.to_owned(),
            taken_at: now,
            expires_at: self.end(now),
        };
        match self.repo.insert(&scope, key.to_owned(), held, Vec::new()).await {
            Ok(_) => Ok(self.in_hand(key, token)),
            Err(Error::Duplicate(_)) => Err(Error::Busy),
            Err(other) => Err(other),
        }
    }

    /// Takes a lease, waiting up to `wait` for its present holder.
    pub async fn acquire_within(
        &self,
        key: &str,
        holder: &str,
        purpose: &str,
        wait: Duration,
    ) -> Result<Lease> {
        let begun = Instant::now();
        let mut pause = Duration::from_millis(15);
        loop {
            match self.acquire(key, holder, purpose).await {
                Err(Error::Busy) if begun.elapsed() < wait => {
                    tokio::time::sleep(pause.min(wait.saturating_sub(begun.elapsed()))).await;
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
                other => return other,
            }
        }
    }

    /// The leases held now, a page of them by key.
    pub async fn held(&self, page: &PageRequest) -> Result<Page<Stored<Held>>> {
        // The instant is not part of the list: a cursor must outlive it. So what ended meanwhile is left out here.
        let now = self.clock.now();
        let mut held = self.repo.list(&Scope::platform(), doc! {}, Sort::Oldest, page).await?;
        held.items.retain(|lease| lease.body.expires_at > now);
        Ok(held)
    }

    /// Ends a lease whoever holds it; false when nobody does. The holder finds out at its next renewal.
    pub async fn take_from_holder(&self, key: &str) -> Result<bool> {
        self.expire(key, doc! {}).await
    }

    async fn expire(&self, key: &str, mut guard: Document) -> Result<bool> {
        let now = time::to_bson(self.clock.now());
        guard.insert("body.expires_at", doc! { "$gt": now });
        let update = doc! { "$set": { "body.expires_at": now } };
        Ok(self.repo.update(&Scope::platform(), key, guard, update, Vec::new()).await?.is_some())
    }

    fn end(&self, now: Timestamp) -> Timestamp {
        now.checked_add(TERM).unwrap_or(Timestamp::MAX)
    }

    fn in_hand(&self, key: &str, token: i64) -> Lease {
        Lease { leases: self.clone(), key: key.to_owned(), token }
    }
}

impl Lease {
    /// The fencing token: larger than every earlier holder's.
    pub fn token(&self) -> i64 {
        self.token
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    /// Makes the lease last its full term from now; `Busy` when it is no longer ours, even if nobody else has it: once
    /// it ran out, or was taken from us, somebody may have counted on that.
    pub async fn renew(&self) -> Result<()> {
        let now = self.leases.clock.now();
        let guard = doc! { "body.token": self.token, "body.expires_at": { "$gt": time::to_bson(now) } };
        let update = doc! { "$set": { "body.expires_at": time::to_bson(self.leases.end(now)) } };
        let done = self.leases.repo.update(&Scope::platform(), &self.key, guard, update, Vec::new()).await?;
        done.map(|_| ()).ok_or(Error::Busy)
    }

    /// Does work under the lease, renewing it meanwhile; stops the work where the lease is lost.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(RENEW) => match self.renew().await {
                    // A database that does not answer is asked again; the term is longer than two rounds.
                    Ok(()) | Err(Error::Unavailable(_)) => {}
                    Err(e) => return Err(e),
                },
            }
        }
    }

    /// Lets the next one have it. A database that does not answer only makes the next one wait for the term.
    pub async fn release(self) {
        if let Err(e) = self.leases.expire(&self.key, doc! { "body.token": self.token }).await {
            tracing::debug!(lock = self.key, error = %e, "the lease {} was left to expire: {e}", self.key);
        }
    }
}
