//! Work for later that survives a crash: queued in the database, taken by one worker at a time, tried again later and
//! later, and put aside as dead when it fails too often. Done at least once, so a handler must bear a repetition.
//!
//! A job has a key. While one of its kind and key is open there is no second: an enqueue that finds it waiting changes
//! nothing, and one that finds it running makes it run once more when it is done, so that nothing asked for is missed.

mod model;
mod worker;

use std::sync::Arc;

use bson::{Document, doc};
use kit::{Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use tokio::sync::Notify;

pub use model::{Job, State};
pub use worker::{Failure, Running, Work};

use crate::{Error, Repo, Result, Sort, Stored, time};

/// The jobs of a service.
#[derive(Clone)]
pub struct Jobs {
    repo: Repo<Job>,
    clock: SharedClock,
    /// Wakes this process's workers; those of others look each second.
    wake: Arc<Notify>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Order {
    pub kind: &'static str,
    /// One open job per company, mode, kind and key.
    pub key: String,
    pub payload: Document,
    /// Not before; `None` is at once.
    pub run_at: Option<Timestamp>,
    /// Larger goes first within a company.
    pub priority: i32,
}

impl Order {
    pub fn new(kind: &'static str, key: impl Into<String>, payload: Document) -> Self {
        Self { kind, key: key.into(), payload, run_at: None, priority: 0 }
    }

    pub fn at(mut self, run_at: Timestamp) -> Self {
        self.run_at = Some(run_at);
        self
    }

    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }
}

impl Jobs {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self> {
        let repo = Repo::open(db, clock.clone()).await?;
        Ok(Self { repo, clock, wake: Arc::new(Notify::new()) })
    }

    /// Queues a job, or finds the open one of its key; answers its id.
    pub async fn enqueue(&self, scope: &Scope, order: Order) -> Result<String> {
        let run_at = order.run_at.unwrap_or_else(|| self.clock.now());
        // The open one may end between the two questions; then the next round inserts.
        for _ in 0..8 {
            let job = Job::new(&order, run_at, kit::telemetry::traceparent());
            match self.repo.insert(scope, kit::id::new("job"), job, Vec::new()).await {
                Ok(made) => {
                    self.wake.notify_waiters();
                    return Ok(made.id);
                }
                Err(Error::Duplicate(_)) => {}
                Err(other) => return Err(other),
            }
            let open = doc! { "body.kind": order.kind, "body.key": &order.key, "body.open": true };
            let Some(found) = self.repo.find(scope, open).await? else { continue };
            if found.body.state == State::Queued {
                return Ok(found.id);
            }
            // Running: what it read may be older than this order.
            let guard = doc! { "body.state": "leased" };
            let update = doc! { "$set": { "body.again": &order.payload } };
            if self.repo.update(scope, &found.id, guard, update, Vec::new()).await?.is_some() {
                return Ok(found.id);
            }
        }
        Err(Error::Busy)
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Job>> {
        self.repo.get(scope, id).await
    }

    /// A company's jobs, the newest first, of one kind or state if said.
    pub async fn list(
        &self,
        scope: &Scope,
        kind: Option<&str>,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Job>>> {
        let mut filter = Document::new();
        if let Some(kind) = kind {
            filter.insert("body.kind", kind);
        }
        if let Some(state) = state {
            filter.insert("body.state", state.as_str());
        }
        self.repo.list(scope, filter, Sort::Newest, page).await
    }

    /// Takes back a job that has not begun; false when it has, or has ended.
    pub async fn cancel(&self, scope: &Scope, id: &str) -> Result<bool> {
        self.get(scope, id).await?;
        let guard = doc! { "body.state": "queued" };
        let update = Job::ended(State::Canceled, None, self.clock.now());
        Ok(self.repo.update(scope, id, guard, update, Vec::new()).await?.is_some())
    }

    /// Queues a dead job again; false when it is not dead, and `Duplicate` when another of its key is open meanwhile.
    pub async fn revive(&self, scope: &Scope, id: &str) -> Result<bool> {
        self.get(scope, id).await?;
        let update = doc! {
            "$set": {
                "body.state": "queued",
                "body.open": true,
                "body.attempts": 0,
                "body.due_at": time::to_bson(self.clock.now()),
            },
            "$unset": { "body.forget_at": 1, "body.ended_at": 1 },
        };
        let revived = self.repo.update(scope, id, doc! { "body.state": "dead" }, update, Vec::new()).await?;
        self.wake.notify_waiters();
        Ok(revived.is_some())
    }
}
