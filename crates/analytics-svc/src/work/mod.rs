//! Work that outlives a request: kept in the database, done at least once by one of the replicas, tried again later
//! and later when it fails, and dead when it fails too often.

mod store;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kit::{Scope, SharedClock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::error::Error;
pub use store::{Job, WorkStore};

/// Checks and imports an upload; its key is the upload's id.
pub const UPLOAD: &str = crate::product_usage::KIND;
/// Makes facts of what an upload brought; its key is the upload's id.
pub const ENRICH: &str = "usage_enrichment";
/// Works facts that age out anew, for all customers of a company; its key is the day.
pub const RECOMPUTE: &str = "enrichment_recompute";
/// A full refresh of personas.
pub const REFRESH: &str = crate::persona::KIND;

/// How often work is tried.
pub const TRIES: i32 = 6;
/// How long a worker that says nothing is believed alive.
const LEASE: Duration = Duration::from_secs(60);
/// How long a worker sleeps when nobody wakes it.
const POLL: Duration = Duration::from_secs(1);

/// Puts work into the queue, and does what lies there.
#[derive(Clone)]
pub struct Work {
    store: WorkStore,
    wake: Arc<Notify>,
    clock: SharedClock,
}

/// Does one piece of work. Told whether it is the last try.
pub type Doing = dyn Fn(Job, bool) -> BoxFuture<'static, Result<(), Error>> + Send + Sync;

impl Work {
    pub fn new(store: WorkStore, clock: SharedClock) -> Self {
        Self { store, wake: Arc::new(Notify::new()), clock }
    }

    /// A full refresh; one that waits already serves. The job's id.
    pub async fn refresh(&self, scope: &Scope) -> Result<String, Error> {
        self.put(scope, REFRESH, "all").await
    }

    pub async fn upload(&self, scope: &Scope, upload: &str) -> Result<(), Error> {
        self.put(scope, UPLOAD, upload).await.map(drop)
    }

    pub async fn enrich(&self, scope: &Scope, upload: &str) -> Result<(), Error> {
        self.put(scope, ENRICH, upload).await.map(drop)
    }

    /// Facts that age, once a day whoever asks.
    pub async fn recompute(&self, scope: &Scope, day: &str) -> Result<(), Error> {
        self.store.put_once(scope, RECOMPUTE, day, self.clock.now()).await?;
        self.wake.notify_one();
        Ok(())
    }

    async fn put(&self, scope: &Scope, kind: &str, key: &str) -> Result<String, Error> {
        let id = self.store.put(scope, kind, key, self.clock.now()).await?;
        self.wake.notify_one();
        Ok(id)
    }

    /// Does what there is to do until told to stop. What is under way when the time to drain is over is taken up by
    /// another replica, or by this one after its restart.
    pub async fn run(self, doing: Arc<Doing>, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            match self.store.claim(self.clock.now(), LEASE).await {
                Ok(Some(job)) => self.one(job, &doing).await,
                Ok(None) => tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(POLL) => {}
                },
                Err(e) => {
                    tracing::warn!(error = %e, "work cannot be looked for: {e}");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(POLL) => {}
                    }
                }
            }
        }
        Ok(())
    }

    async fn one(&self, job: Job, doing: &Arc<Doing>) {
        let span = tracing::info_span!("job", job.kind = job.kind, job.id = job.id);
        if let Some(trace) = &job.traceparent {
            kit::telemetry::adopt_traceparent(&span, trace);
        }
        let last = job.attempts >= TRIES;
        let done = self.held(&job, doing(job.clone(), last)).instrument(span).await;
        let told = match done {
            Ok(()) => self.store.succeeded(&job, self.clock.now()).await,
            Err(e) => {
                let text = format!("{:#}", anyhow::Error::from(e));
                tracing::warn!(job.kind = job.kind, job.id = job.id, "{} failed: {text}", job.kind);
                let wait = jiff::SignedDuration::from_secs(1 << job.attempts.clamp(0, 10));
                let again = self.clock.now().checked_add(wait).unwrap_or(kit::Timestamp::MAX);
                self.store.failed(&job, &text, (!last).then_some(again), self.clock.now()).await
            }
        };
        metrics::counter!("jobs_total", "kind" => job.kind.clone(), "ok" => told.is_ok().to_string())
            .increment(1);
        if let Err(e) = told {
            // Its lease runs out, and it is done once more: work is idempotent.
            tracing::warn!(job.id = job.id, error = %e, "the end of {} was not kept: {e}", job.id);
        }
    }

    /// Keeps the lease while the work is being done.
    async fn held(&self, job: &Job, work: BoxFuture<'static, Result<(), Error>>) -> Result<(), Error> {
        let mut work = work;
        loop {
            match tokio::time::timeout(LEASE / 3, &mut work).await {
                Ok(done) => return done,
                Err(_) => self.store.renew(job, self.clock.now(), LEASE).await?,
            }
        }
    }
}
