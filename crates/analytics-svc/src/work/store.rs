//! The queue: one document per piece of work.

use std::time::Duration;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use kit::{Mode, Scope, Timestamp};
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Collection, Database, IndexModel};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// A piece of work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    #[serde(rename = "_id")]
    pub id: String,
    pub company_id: String,
    pub mode: Mode,
    pub kind: String,
    /// Two pieces of one kind and key do not wait at once.
    pub key: String,
    pub attempts: i32,
    #[serde(default)]
    pub traceparent: Option<String>,
}

impl Job {
    pub fn scope(&self) -> Scope {
        Scope::new(self.company_id.clone(), self.mode)
    }
}

#[derive(Clone)]
pub struct WorkStore {
    jobs: Collection<Job>,
}

impl WorkStore {
    pub async fn open(db: &Database) -> Result<Self, Error> {
        let jobs = db.collection::<Job>("jobs");
        let waiting = IndexOptions::builder()
            .name("waiting".to_owned())
            .unique(true)
            .partial_filter_expression(doc! { "state": "queued" })
            .build();
        let keys = doc! { "company_id": 1, "mode": 1, "kind": 1, "key": 1 };
        let running = IndexOptions::builder()
            .name("running".to_owned())
            .unique(true)
            .partial_filter_expression(doc! { "state": "leased" })
            .build();
        for options in [waiting, running] {
            let index = IndexModel::builder().keys(keys.clone()).options(options).build();
            jobs.create_index(index).await.map_err(failed)?;
        }
        let due = IndexOptions::builder().name("due".to_owned()).build();
        let keys = doc! { "state": 1, "run_at": 1 };
        jobs.create_index(IndexModel::builder().keys(keys).options(due).build()).await.map_err(failed)?;
        Ok(Self { jobs })
    }

    /// Queues work unless the same waits already; its id.
    pub async fn put(&self, scope: &Scope, kind: &str, key: &str, now: Timestamp) -> Result<String, Error> {
        self.upsert(scope, kind, key, now, doc! { "state": "queued" }).await
    }

    /// Queues work unless the same was ever queued.
    pub async fn put_once(
        &self,
        scope: &Scope,
        kind: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<String, Error> {
        self.upsert(scope, kind, key, now, Document::new()).await
    }

    async fn upsert(
        &self,
        scope: &Scope,
        kind: &str,
        key: &str,
        now: Timestamp,
        guard: Document,
    ) -> Result<String, Error> {
        let mut filter =
            doc! { "company_id": &scope.company, "mode": scope.mode.as_str(), "kind": kind, "key": key };
        let fresh = guard.is_empty();
        filter.extend(guard);
        let mut set = doc! {
            "_id": kit::id::new("job"),
            "attempts": 0,
            "run_at": store::time::to_bson(now),
            "created_at": store::time::to_bson(now),
            "traceparent": kit::telemetry::traceparent(),
        };
        if fresh {
            set.insert("state", "queued");
        }
        for _ in 0..3 {
            let found = self
                .jobs
                .find_one_and_update(filter.clone(), doc! { "$setOnInsert": set.clone() })
                .upsert(true)
                .return_document(ReturnDocument::After)
                .await;
            match found.map_err(failed) {
                Ok(Some(job)) => return Ok(job.id),
                // Two at once: the other one's is there now.
                Ok(None) | Err(Error::Store(store::Error::Duplicate(_))) => {}
                Err(e) => return Err(e),
            }
        }
        Err(store::Error::Busy.into())
    }

    /// Takes what a dead worker left, and the work that has waited longest. Work that is under way is not begun a second
    /// time beside it: two refreshes at once, one of them with the personas of before, would undo each other.
    pub async fn claim(&self, now: Timestamp, lease: Duration) -> Result<Option<Job>, Error> {
        let at = store::time::to_bson(now);
        let left = self.take(doc! { "state": "leased", "lease_until": { "$lt": at } }, now, lease).await?;
        if left.is_some() {
            return Ok(left);
        }
        let mut due = doc! { "state": "queued", "run_at": { "$lte": at } };
        let running: Vec<Job> = self
            .jobs
            .find(doc! { "state": "leased" })
            .await
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        let same = |job: &Job| doc! { "company_id": &job.company_id, "mode": job.mode.as_str(), "kind": &job.kind, "key": &job.key };
        if !running.is_empty() {
            due.insert("$nor", running.iter().map(same).collect::<Vec<_>>());
        }
        match self.take(due, now, lease).await {
            // Another worker was faster; it looks again.
            Err(Error::Store(store::Error::Duplicate(_))) => Ok(None),
            other => other,
        }
    }

    async fn take(&self, due: Document, now: Timestamp, lease: Duration) -> Result<Option<Job>, Error> {
        let update = doc! {
            "$set": { "state": "leased", "lease_until": until(now, lease) },
            "$inc": { "attempts": 1 },
        };
        let taken = self.jobs.find_one_and_update(due, update).sort(doc! { "run_at": 1 });
        taken.return_document(ReturnDocument::After).await.map_err(failed)
    }

    pub async fn renew(&self, job: &Job, now: Timestamp, lease: Duration) -> Result<(), Error> {
        self.set(job, doc! { "lease_until": until(now, lease) }).await
    }

    pub async fn succeeded(&self, job: &Job, now: Timestamp) -> Result<(), Error> {
        self.set(job, doc! { "state": "succeeded", "ended_at": store::time::to_bson(now) }).await
    }

    /// Queues it again for later, or buries it.
    pub async fn failed(
        &self,
        job: &Job,
        error: &str,
        again: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let next = match again {
            Some(at) => doc! { "state": "queued", "run_at": store::time::to_bson(at), "error": error },
            None => doc! { "state": "dead", "ended_at": store::time::to_bson(now), "error": error },
        };
        match self.set(job, next).await {
            // The same work was queued again in the meantime: that one serves.
            Err(Error::Store(store::Error::Duplicate(_))) => self.succeeded(job, now).await,
            other => other,
        }
    }

    /// Changes a job as long as it is still this try of it.
    async fn set(&self, job: &Job, fields: Document) -> Result<(), Error> {
        let own = doc! { "_id": &job.id, "state": "leased", "attempts": job.attempts };
        self.jobs.update_one(own, doc! { "$set": fields }).await.map_err(failed)?;
        Ok(())
    }
}

fn until(now: Timestamp, lease: Duration) -> bson::DateTime {
    let ms = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    bson::DateTime::from_millis(now.as_millisecond().saturating_add(ms))
}

fn failed(error: mongodb::error::Error) -> Error {
    store::Error::of(error, "job").into()
}
