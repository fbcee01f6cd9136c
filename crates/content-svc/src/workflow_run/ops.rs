//! What can be done with runs.

use std::sync::Arc;

use kit::{Caller, Scope, SharedClock, Timestamp};
use store::Stored;

use super::billing::Carrier;
use super::model::{RunState, WorkflowRun};
use super::store::RunStore;
use crate::companies::Companies;
use crate::error::Error;
use crate::flow_session::Billing;
use crate::workflow::Workflows;

/// The runs.
#[derive(Clone)]
pub struct WorkflowRuns {
    pub(super) store: RunStore,
    pub(super) workflows: Workflows,
    pub(super) companies: Companies,
    pub(super) billing: Arc<dyn Billing>,
    pub(super) carrier: Arc<dyn Carrier>,
    pub(super) clock: SharedClock,
}

/// Somebody to send through a workflow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Start {
    pub customer: String,
    /// Empty: the one that has not ended.
    pub subscription: String,
    /// What starts it, among all that ever did.
    pub key: String,
    /// The persona that was entered.
    pub persona: Option<String>,
    /// When it happened; now where nobody says.
    pub at: Option<Timestamp>,
}

/// What became of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    Begun(String),
    /// This was started before.
    Known(String),
    /// The subscription is going through the workflow already.
    UnderWay(String),
    /// It was not started: why.
    Not(&'static str),
}

impl Started {
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Begun(_) => "started",
            Self::Known(_) => "known",
            Self::UnderWay(_) => "under_way",
            Self::Not(why) => why,
        }
    }

    /// The run, where there is one.
    pub fn run_id(&self) -> Option<&str> {
        match self {
            Self::Begun(id) | Self::Known(id) | Self::UnderWay(id) => Some(id),
            Self::Not(_) => None,
        }
    }
}

impl WorkflowRuns {
    pub fn new(
        store: RunStore,
        workflows: Workflows,
        companies: Companies,
        billing: Arc<dyn Billing>,
        carrier: Arc<dyn Carrier>,
        clock: SharedClock,
    ) -> Self {
        Self { store, workflows, companies, billing, carrier, clock }
    }

    /// One run.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Stored<WorkflowRun>, Error> {
        Ok(self.store.get(caller.scope()?, id).await?)
    }

    /// Cancels every run of a workflow that has not ended; how many. Also those a worker has in hand: it finds out when it
    /// writes.
    pub async fn stop_all(&self, scope: &Scope, workflow: &str, why: &str) -> Result<u64, Error> {
        let mut stopped = 0;
        loop {
            let open = self.store.open_in(scope, workflow).await?;
            if open.is_empty() {
                return Ok(stopped);
            }
            for read in open {
                stopped += u64::from(self.cancel(read, why).await?);
            }
        }
    }

    /// Cancels a customer's runs that `which` chooses; how many.
    pub async fn stop_of(
        &self,
        scope: &Scope,
        customer: &str,
        which: impl Fn(&WorkflowRun) -> Option<&'static str> + Send + Sync,
    ) -> Result<u64, Error> {
        let mut stopped = 0;
        for read in self.store.open_of(scope, customer).await? {
            if let Some(why) = which(&read.body) {
                stopped += u64::from(self.cancel(read, why).await?);
            }
        }
        Ok(stopped)
    }

    /// Cancels a run; false when it had ended.
    pub(super) async fn cancel(&self, mut read: Stored<WorkflowRun>, why: &str) -> Result<bool, Error> {
        loop {
            if read.body.state.is_final() {
                return Ok(false);
            }
            let next = read.body.ended(RunState::Canceled, why, self.clock.now());
            match self.store.replace(&read, next, Vec::new()).await {
                Ok(_) => {
                    tracing::info!(run.id = %read.id, "run {} is canceled: {why}", read.id);
                    return Ok(true);
                }
                // A worker came before: what it did is done, and nothing more.
                Err(store::Error::Stale(_)) => read = self.store.get(&read.scope, &read.id).await?,
                Err(store::Error::NotFound(_)) => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
    }
}
