//! A run on the wire: its trace.

use kit::Timestamp;
use kit::time::to_proto;
use proto::content as pb;
use store::Stored;

use super::model::{Began, Effect, Ended, RunState, RunVisit, Waiting, WorkflowRun};
use crate::engine::Decision;

/// The trace of a run.
pub fn to_wire(read: Stored<WorkflowRun>) -> pb::WorkflowRun {
    let Stored { id, created_at, body: run, .. } = read;
    let time = |at: Option<Timestamp>| at.map(to_proto);
    let goes_on = matches!(run.state, RunState::Queued | RunState::Waiting);
    pb::WorkflowRun {
        id,
        workflow_id: run.flow.id,
        workflow_version: run.flow.number,
        trigger: match run.began {
            Began::By(trigger) => trigger.as_str().into(),
            Began::Action => "action".into(),
        },
        customer_id: run.customer_id,
        subscription_id: run.subscription_id,
        flow_session_id: run.session_id.unwrap_or_default(),
        state: run.state.as_str().into(),
        reason: run.reason,
        tries: run.tries,
        last_error: run.last_error,
        visits: run.visits.into_iter().map(Into::into).collect(),
        started_at: time(Some(created_at)),
        next_at: time(Some(run.due_at).filter(|_| goes_on)),
        ends_by: time(Some(run.ends_by)),
        ended_at: time(run.ended_at),
    }
}

impl From<RunVisit> for pb::RunVisit {
    fn from(seen: RunVisit) -> Self {
        let RunVisit { node, kind, visit, at, exit, why, effect, wait } = seen;
        let decisions = why.into_iter().map(|Decision { node, code, message }| pb::FlowDecision {
            at: Some(to_proto(at)),
            node,
            code,
            message,
        });
        Self {
            node,
            kind,
            visit,
            at: Some(to_proto(at)),
            exit,
            decisions: decisions.collect(),
            effect: effect.map(|Effect { key, action, outcome, at }| pb::RunEffect {
                key,
                action,
                outcome,
                at: Some(to_proto(at)),
            }),
            wait: wait.map(Into::into),
        }
    }
}

impl From<Waiting> for pb::RunWait {
    fn from(wait: Waiting) -> Self {
        let Waiting { until, event, ended, ended_at } = wait;
        let (ended_by, event_id) = match ended {
            None => ("", String::new()),
            Some(Ended::Time) => ("time", String::new()),
            Some(Ended::Event(id)) => ("event", id),
        };
        let ended_at = ended_at.map(to_proto);
        Self { until: Some(to_proto(until)), event, ended_by: ended_by.into(), event_id, ended_at }
    }
}
