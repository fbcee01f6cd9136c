//! Keeping a visit together with the runs it asks for: all of it is written, or nothing.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kit::{Outgoing, Scope, Timestamp};
use mongodb::Database;
use store::{Repo, Stored, Transaction};

use super::model::FlowSession;
use crate::workflow_run::{Errand, RunStore, WorkflowRun};

/// What is written with a visit.
pub struct Keeping {
    pub visits: Repo<FlowSession>,
    pub runs: RunStore,
    pub asked_for: Vec<(String, WorkflowRun)>,
    pub whose: Whose,
    pub session: FlowSession,
    pub events: Vec<Outgoing>,
}

/// Which visit it is.
pub enum Whose {
    New(Scope, String),
    Read(Box<Stored<FlowSession>>),
}

impl Keeping {
    pub async fn write(self, db: &Database) -> Result<Stored<FlowSession>, store::Error> {
        let keeping = Arc::new(self);
        store::transaction(db, async move |tx| keeping.clone().run(tx).await).await
    }

    /// Boxed, as the compiler cannot see through an async closure that such a future may move between threads.
    fn run(
        self: Arc<Self>,
        tx: &mut Transaction,
    ) -> BoxFuture<'_, Result<Stored<FlowSession>, store::Error>> {
        Box::pin(async move {
            let scope = match &self.whose {
                Whose::New(scope, _) => scope,
                Whose::Read(read) => &read.scope,
            };
            for (id, run) in &self.asked_for {
                self.runs.insert_in(tx, scope, id.clone(), run.clone()).await?;
            }
            let (session, events) = (self.session.clone(), self.events.clone());
            match &self.whose {
                Whose::New(scope, id) => self.visits.insert_in(tx, scope, id.clone(), session, events).await,
                Whose::Read(read) => self.visits.replace_in(tx, read, session, events).await,
            }
        })
    }
}

/// The runs of the actions a visit came by; from now on somebody was told of them.
pub fn asked_for(id: &str, session: &mut FlowSession) -> Vec<(String, WorkflowRun)> {
    let errands = std::mem::take(&mut session.errands);
    let Some(flow) = &session.flow else { return Vec::new() };
    let run = |errand: &Errand| {
        let (customer, subscription) = (&session.customer_id, &session.subscription_id);
        let now = session.why.last().map_or(Timestamp::UNIX_EPOCH, |noted| noted.at);
        (errand.run_id.clone(), WorkflowRun::errand(flow.clone(), id, customer, subscription, errand, now))
    };
    errands.iter().map(run).collect()
}
