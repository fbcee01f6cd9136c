//! Taking runs up when their time has come, a bounded number at once, each at one replica at a time. A worker that dies
//! loses its runs by time, and what it did not write down is done again under the same keys.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kit::{Caller, Code, Coded};
use store::Stored;
use tokio_util::sync::CancellationToken;

use super::billing::NotDone;
use super::effect::act;
use super::model::{RunState, WorkflowRun};
use super::occasion::Occasions;
use super::ops::WorkflowRuns;
use super::stride::{Seen, Stride, stride};
use crate::engine::Known;
use crate::error::Error;

/// How many runs are looked for in one go, and how many are gone on with at once.
const BATCH: u32 = 100;
const ABREAST: usize = 8;
/// How often it is looked for runs whose time has come.
const PACE: Duration = Duration::from_secs(1);

impl WorkflowRuns {
    /// Goes on with what is due, until stopped.
    pub async fn run(self, occasions: Occasions, stop: CancellationToken) -> anyhow::Result<()> {
        while !stop.is_cancelled() {
            let more = match Box::pin(self.round(&occasions)).await {
                Ok(looked_at) => looked_at >= BATCH as usize,
                Err(e) => {
                    tracing::warn!(error = %e, "workflow runs wait: {e}");
                    false
                }
            };
            if !more {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(PACE) => {}
                }
            }
        }
        Ok(())
    }

    /// One round of the task; how much there was to look at.
    pub async fn round(&self, occasions: &Occasions) -> Result<usize, Error> {
        let near = self.look_ahead(occasions, BATCH).await?;
        let due = self.store.due(self.clock.now(), BATCH).await?;
        let found = near.max(due.len());
        stream::iter(due)
            .for_each_concurrent(ABREAST, |read| async move {
                let id = read.id.clone();
                if let Err(e) = Box::pin(self.take_up(read)).await {
                    tracing::info!(run.id = %id, error = %e, "run {id} is gone on with later: {e}");
                }
            })
            .await;
        Ok(found)
    }

    /// Takes a run up, unless somebody else does, and goes on with it for as far as it goes.
    async fn take_up(&self, due: Stored<WorkflowRun>) -> Result<(), Error> {
        let taken = due.body.taken(self.clock.now());
        let Some(mut read) = self.write(&due, taken, Vec::new()).await? else { return Ok(()) };
        while read.body.state == RunState::Running {
            let (next, events) = match Box::pin(self.go_on(&read)).await {
                Ok(gone_on) => gone_on,
                Err(NotDone { code, hopeless }) => {
                    let (id, now) = (&read.id, self.clock.now());
                    tracing::warn!(run.id = %id, "run {id} failed at {}: {code}", read.body.node);
                    (read.body.failed(id, &code, hopeless, now), Vec::new())
                }
            };
            match self.write(&read, next, events).await? {
                Some(written) => read = written,
                None => return Ok(()),
            }
        }
        if read.body.state.is_final() {
            tracing::info!(run.id = %read.id, "run {} is {}", read.id, read.body.state.as_str());
        }
        Ok(())
    }

    /// Writes what became of a run; none where somebody else did meanwhile: it was canceled, woken, or is another's.
    async fn write(
        &self,
        read: &Stored<WorkflowRun>,
        next: WorkflowRun,
        events: Vec<kit::Outgoing>,
    ) -> Result<Option<Stored<WorkflowRun>>, Error> {
        match self.store.replace(read, next, events).await {
            Ok(written) => Ok(Some(written)),
            Err(store::Error::Stale(_) | store::Error::NotFound(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// The next thing, done.
    async fn go_on(&self, read: &Stored<WorkflowRun>) -> Result<(WorkflowRun, Vec<kit::Outgoing>), NotDone> {
        let run = &read.body;
        let flow =
            self.workflows.version(&read.scope, &run.flow.id, &run.flow.hash).await.map_err(not_done)?;
        let seen = match self.see(read).await? {
            Ok(seen) => seen,
            Err(why) => return Ok((run.ended(RunState::Canceled, why, self.clock.now()), Vec::new())),
        };
        let now = self.clock.now();
        match stride(run, &read.id, &flow.content, &seen, now) {
            Stride::Rest(then) => Ok((*then, Vec::new())),
            Stride::Act { action, key, mut then } => {
                let (effect, events) = act(self.carrier.as_ref(), read, &action, &key, &seen, now).await?;
                if let Some(last) = then.visits.last_mut() {
                    last.effect = Some(effect);
                }
                Ok((*then, events))
            }
        }
    }

    /// What is known of the customer now, or why nothing is done for them any more.
    async fn see(&self, read: &Stored<WorkflowRun>) -> Result<Result<Seen, &'static str>, NotDone> {
        let run = &read.body;
        let caller = Caller::internal("content-svc", Some(read.scope.clone()));
        let visitor = match self.billing.visitor(&caller, &run.customer_id, &run.subscription_id).await {
            Ok(visitor) => visitor,
            Err(e) if e.code().0 == Code::NotFound => return Ok(Err("customer_unknown")),
            Err(e) => return Err(not_done(e.into())),
        };
        if visitor.restricted {
            return Ok(Err("customer_restricted"));
        }
        let segments = self.billing.segments(&caller, &run.customer_id).await;
        let segments = segments.map_err(|e| not_done(e.into()))?;
        let known = Known::of(&visitor.subject.country, visitor.facts, &segments);
        let (state, locale) = (visitor.subject.state, visitor.locale);
        Ok(Ok(Seen { known, state, locale, holdout: segments.holdout }))
    }
}

/// What was not to be had is asked for again.
fn not_done(error: Error) -> NotDone {
    let (_, code) = error.code();
    NotDone { code: code.to_owned(), hopeless: false }
}
