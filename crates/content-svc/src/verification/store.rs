//! Where verifications are kept.

use std::time::Duration;

use bson::doc;
use kit::{Outgoing, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Stored};

use super::model::{TRIES, Verification};

impl Record for Verification {
    const COLLECTION: &'static str = "hosted_verifications";
    const NOUN: &'static str = "verification";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.customer_ids"]), Index::global(&["body.until"]).ttl(Duration::from_secs(3600))]
    }
}

/// The verifications.
#[derive(Clone)]
pub struct VerificationStore {
    repo: Repo<Verification>,
    clock: SharedClock,
}

impl VerificationStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock.clone()).await?, clock })
    }

    pub async fn find(&self, scope: &Scope, id: &str) -> Result<Option<Stored<Verification>>, store::Error> {
        self.repo.find(scope, doc! { "_id": id }).await
    }

    /// Writes down an ask, unless somebody else did since it was read.
    pub async fn put(
        &self,
        scope: &Scope,
        id: &str,
        read: Option<&Stored<Verification>>,
        next: Verification,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Verification>, store::Error> {
        match read {
            Some(read) => self.repo.replace(read, next, events).await,
            None => self.repo.insert(scope, id.to_owned(), next, events).await,
        }
    }

    /// Uses a code up; false when it is wrong, old, used, or was wrong too often. A wrong one is counted.
    pub async fn take(&self, scope: &Scope, id: &str, code_hash: &str) -> Result<bool, store::Error> {
        let now = store::time::to_bson(self.clock.now());
        let guard = doc! {
            "body.code_hash": code_hash, "body.used": false, "body.tries": { "$lt": TRIES },
            "body.code_until": { "$gt": now },
        };
        let used = doc! { "$set": { "body.used": true } };
        if self.repo.update(scope, id, guard, used, Vec::new()).await?.is_some() {
            return Ok(true);
        }
        let missed = doc! { "$inc": { "body.tries": 1 } };
        self.repo.update(scope, id, doc! { "body.used": false }, missed, Vec::new()).await?;
        Ok(false)
    }

    /// Notes that the wish was taken.
    pub async fn wished(&self, read: &Stored<Verification>) -> Result<(), store::Error> {
        let at = store::time::to_bson(self.clock.now());
        let update = doc! { "$set": { "body.wished_at": at } };
        let guard = doc! { "body.wished_at": bson::Bson::Null };
        self.repo.update(&read.scope, &read.id, guard, update, Vec::new()).await.map(drop)
    }
}

/// The verifications of customers.
pub fn shelf(customers: &[String]) -> bson::Document {
    doc! { "body.customer_ids": { "$in": customers } }
}
