//! Leases with a fencing token, over one collection.

use bson::doc;
use kit::{Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Record, Repo, Sort, Stored};

const SECONDS: i64 = 30;

/// A lease as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Held {
    pub holder: String,
    pub token: i64,
    pub purpose: String,
    #[serde(with = "store::time")]
    pub taken_at: Timestamp,
    #[serde(with = "store::time")]
    pub expires_at: Timestamp,
}

impl Record for Held {
    const COLLECTION: &'static str = "leases";
    const NOUN: &'static str = "lock";
}

#[derive(Clone)]
pub struct Leases {
    repo: Repo<Held>,
    clock: SharedClock,
}

pub struct Lease {
    leases: Leases,
    key: String,
    token: i64,
}

impl Leases {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock.clone()).await?, clock })
    }

    fn until(&self) -> Timestamp {
        self.clock.now().checked_add(jiff::SignedDuration::from_secs(SECONDS)).unwrap_or(Timestamp::MAX)
    }

    pub async fn acquire(&self, key: &str, holder: &str, purpose: &str) -> Result<Lease, store::Error> {
        let now = self.clock.now();
        let scope = Scope::platform();
        let guard = doc! { "body.expires_at": { "$lte": store::time::to_bson(now) } };
        let update = doc! {
            "$set": {
                "body.holder": holder,
                "body.purpose": purpose,
                "body.taken_at": store::time::to_bson(now),
                "body.expires_at": store::time::to_bson(self.until()),
            },
            "$inc": { "body.token": 1_i64 },
        };
        if let Some(held) = self.repo.update(&scope, key, guard, update, Vec::new()).await? {
            return Ok(Lease { leases: self.clone(), key: key.to_owned(), token: held.body.token });
        }
        let held = Held {
            holder: holder.to_owned(),
            token: 1,
            purpose: purpose.to_owned(),
            taken_at: now,
            expires_at: self.until(),
        };
        match self.repo.insert(&scope, key.to_owned(), held, Vec::new()).await {
            Ok(_) => Ok(Lease { leases: self.clone(), key: key.to_owned(), token: 1 }),
            Err(store::Error::Duplicate(_)) => Err(store::Error::Busy),
            Err(other) => Err(other),
        }
    }

    pub async fn held(&self) -> Result<Vec<Stored<Held>>, store::Error> {
        let filter = doc! { "body.expires_at": { "$gt": store::time::to_bson(self.clock.now()) } };
        Ok(self
            .repo
            .list(&Scope::platform(), filter, Sort::Oldest, &kit::PageRequest::new(200, ""))
            .await?
            .items)
    }

    async fn end(&self, key: &str, guard: bson::Document) -> Result<bool, store::Error> {
        let update = doc! { "$set": { "body.expires_at": store::time::to_bson(self.clock.now()) } };
        Ok(self.repo.update(&Scope::platform(), key, guard, update, Vec::new()).await?.is_some())
    }

    pub async fn take_from_holder(&self, key: &str) -> Result<bool, store::Error> {
        self.end(key, doc! {}).await
    }
}

impl Lease {
    pub fn token(&self) -> i64 {
        self.token
    }

    pub async fn renew(&self) -> Result<(), store::Error> {
        let guard = doc! { "body.token": self.token };
        let update = doc! { "$set": { "body.expires_at": store::time::to_bson(self.leases.until()) } };
        let done = self.leases.repo.update(&Scope::platform(), &self.key, guard, update, Vec::new()).await?;
        done.map(|_| ()).ok_or(store::Error::Busy)
    }

    pub async fn release(self) {
        let done = self.leases.end(&self.key, doc! { "body.token": self.token }).await;
        if let Err(e) = done {
            tracing::debug!(error = %e, "a lease was left to expire");
        }
    }
}
