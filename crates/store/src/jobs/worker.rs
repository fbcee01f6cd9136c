//! Workers: take a due job, do it under its lease, and write how it went. Companies take turns, so that one with ten
//! thousand jobs does not keep the others waiting.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bson::{Document, doc};
use kit::Scope;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::model::{MOST_ATTEMPTS, TERM};
use super::{Job, Jobs, State};
use crate::{Error, Result, Stored, time};

/// How long a worker sleeps when nothing is due and nobody wakes it.
const POLL: Duration = Duration::from_secs(1);
/// How often the lease of a running job is renewed.
const RENEW: Duration = Duration::from_secs(15);

/// Why a job was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Try it again later.
    Retry(String),
    /// It will never work.
    Dead(String),
}

/// What does the jobs of a kind.
#[async_trait]
pub trait Work: Send + Sync + 'static {
    async fn work(&self, job: &Running) -> std::result::Result<(), Failure>;
}

/// A job that is being done.
pub struct Running {
    jobs: Jobs,
    pub id: String,
    pub scope: Scope,
    pub key: String,
    pub payload: Document,
    /// 1 at the first attempt.
    pub attempt: i32,
    /// Whether a failure now makes it dead.
    pub is_last: bool,
    token: i64,
    /// Cancelled when the service stops. Long work may look at it, leave off and answer `Retry`.
    pub stop: CancellationToken,
}

impl Running {
    /// Says how far it is, from 0 to 100, and renews the lease; `Busy` when the job is another worker's by now.
    pub async fn progress(&self, percent: i32) -> Result<()> {
        self.renew(doc! { "body.progress": percent.clamp(0, 100) }).await
    }

    async fn renew(&self, mut set: Document) -> Result<()> {
        let until = self.jobs.clock.now().checked_add(TERM).unwrap_or(kit::Timestamp::MAX);
        set.insert("body.due_at", time::to_bson(until));
        match self.change(doc! {}, doc! { "$set": set }).await? {
            true => Ok(()),
            false => Err(Error::Busy),
        }
    }

    /// Changes the job if it is still this worker's.
    async fn change(&self, mut guard: Document, update: Document) -> Result<bool> {
        guard.insert("body.state", "leased");
        guard.insert("body.token", self.token);
        Ok(self.jobs.repo.update(&self.scope, &self.id, guard, update, Vec::new()).await?.is_some())
    }
}

impl Jobs {
    /// Does jobs of a kind, so many at once, until stopped; then finishes those under way. A task of the service.
    pub async fn worker(
        self,
        kind: &'static str,
        at_once: usize,
        work: Arc<dyn Work>,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut under_way = JoinSet::new();
        let mut served = String::new();
        while !stop.is_cancelled() {
            let woken = self.wake.notified();
            tokio::pin!(woken);
            // Listening before looking, so that a job queued in between is not slept over.
            woken.as_mut().enable();
            if under_way.len() < at_once {
                match self.take(kind, &served).await {
                    Ok(Some(job)) => {
                        served.clone_from(&job.scope.company);
                        under_way.spawn(self.clone().run(job, work.clone(), stop.clone()));
                        continue;
                    }
                    Ok(None) => {}
                    Err(e) => tracing::warn!(job.kind = kind, error = %e, "no {kind} could be taken: {e}"),
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(_) = under_way.join_next() => {}
                () = woken => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        while under_way.join_next().await.is_some() {}
        Ok(())
    }

    /// Takes a due job of the company after the one served last, or of the first one.
    async fn take(&self, kind: &str, served: &str) -> Result<Option<Stored<Job>>> {
        let now = self.clock.now();
        let due = |companies: Document| {
            doc! { "body.kind": kind, "body.open": true, "company_id": companies, "body.due_at": { "$lte": time::to_bson(now) } }
        };
        let order = doc! { "company_id": 1, "body.priority": -1, "body.due_at": 1 };
        for companies in [doc! { "$gt": served }, doc! { "$lte": served }] {
            let taken = self.repo.across().take(due(companies), order.clone(), Job::taken(now)).await?;
            if taken.is_some() {
                return Ok(taken);
            }
        }
        Ok(None)
    }

    async fn run(self, job: Stored<Job>, work: Arc<dyn Work>, stop: CancellationToken) {
        let span = tracing::info_span!("job", otel.kind = "consumer", job.id = %job.id, job.kind = %job.body.kind, company.id = %job.scope.company);
        if let Some(trace) = &job.body.traceparent {
            kit::telemetry::adopt_traceparent(&span, trace);
        }
        self.run_in_span(job, work, stop).instrument(span).await;
    }

    async fn run_in_span(self, job: Stored<Job>, work: Arc<dyn Work>, stop: CancellationToken) {
        let running = Running {
            jobs: self.clone(),
            id: job.id.clone(),
            scope: job.scope.clone(),
            key: job.body.key.clone(),
            payload: job.body.payload.clone(),
            attempt: job.body.attempts,
            is_last: job.body.is_last_attempt(),
            token: job.body.token,
            stop,
        };
        let outcome = if job.body.attempts > MOST_ATTEMPTS {
            // Its handler never came back: a job that kills its workers must not kill them for ever.
            Err(Failure::Dead("every worker that took it stopped".into()))
        } else {
            // A panic is a failed attempt, not the end of the worker.
            let doing = std::panic::AssertUnwindSafe(work.work(&running));
            let doing = futures_util::FutureExt::catch_unwind(doing);
            tokio::pin!(doing);
            loop {
                tokio::select! {
                    done = &mut doing => break done.unwrap_or_else(|_| Err(Failure::Retry("it panicked".into()))),
                    () = tokio::time::sleep(RENEW) => if let Err(Error::Busy) = running.renew(doc! {}).await {
                        tracing::warn!(job.id = %running.id, "job {} is another worker's by now; left off", running.id);
                        return;
                    },
                }
            }
        };
        if let Err(e) = self.settle(&job.body, &running, outcome).await {
            // Its lease runs out and it is done again.
            tracing::warn!(job.id = %running.id, error = %e, "how job {} went was not written: {e}", running.id);
        }
    }

    /// Writes how a job went, if it is still this worker's.
    async fn settle(
        &self,
        job: &Job,
        running: &Running,
        outcome: std::result::Result<(), Failure>,
    ) -> Result<()> {
        let (now, id) = (self.clock.now(), &running.id);
        let update = match &outcome {
            Ok(()) => Job::ended(State::Succeeded, None, now),
            Err(Failure::Retry(why)) if !job.is_last_attempt() => {
                tracing::warn!(job.id = %id, job.kind = %job.kind, "job {id} is tried again: {why}");
                job.put_back(id, why, now)
            }
            Err(Failure::Retry(why) | Failure::Dead(why)) => {
                tracing::error!(job.id = %id, job.kind = %job.kind, "job {id} is dead: {why}");
                metrics::counter!("jobs_dead_total", "kind" => job.kind.clone()).increment(1);
                Job::ended(State::Dead, Some(why), now)
            }
        };
        metrics::counter!("jobs_run_total", "kind" => job.kind.clone()).increment(1);
        let alone = doc! { "body.again": { "$exists": false } };
        if running.change(alone, update).await? {
            return Ok(());
        }
        // Asked for again meanwhile, or not ours any more.
        let asked = self.repo.get(&running.scope, id).await?;
        if let Some(payload) = asked.body.again {
            running.change(doc! {}, Job::begun_anew(&payload, now)).await?;
            self.wake.notify_waiters();
        }
        Ok(())
    }
}
