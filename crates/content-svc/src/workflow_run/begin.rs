//! How a run begins: by what happened to a customer, or by hand.

use jiff::SignedDuration;
use kit::{Caller, Code, Coded, Fault, Scope};

use super::model::WorkflowRun;
use super::ops::{Start, Started, WorkflowRuns};
use crate::engine::{Known, choose_workflow, holds};
use crate::error::Error;
use crate::flow_session::FlowRef;
use crate::versioned::Published;
use crate::workflow::{Reentry, Trigger, WorkflowContent};

/// What happened longer ago than this begins nothing: news that were held up for days, or from before somebody listened.
const NEWS: SignedDuration = SignedDuration::from_hours(48);

impl WorkflowRuns {
    /// Something happened to a customer: the first workflow whose trigger and audience fit begins.
    pub async fn happened(&self, scope: &Scope, trigger: Trigger, start: &Start) -> Result<Started, Error> {
        if start.at.is_some_and(|at| self.clock.now().duration_since(at) > NEWS) {
            return Ok(Started::Not("long_ago"));
        }
        if let Some(run) = self.store.started_by(scope, &start.key).await? {
            return Ok(Started::Known(run.id));
        }
        let served = self.workflows.published(scope, trigger).await?;
        if served.is_empty() {
            return Ok(Started::Not("no_workflow"));
        }
        let who = match self.who(scope, start).await? {
            Ok(who) => who,
            Err(why) => return Ok(Started::Not(why)),
        };
        let flows = served.iter().map(|p: &Published<WorkflowContent>| (p, &p.frozen.content));
        // One that names personas is for those who entered one of them, not for those who were in it anyway.
        let entered = |content: &WorkflowContent| match (&start.persona, &content.audience) {
            (Some(persona), Some(audience)) => {
                let named = audience.personas();
                named.is_empty() || named.contains(&persona.as_str())
            }
            _ => true,
        };
        let chosen = choose_workflow(flows.filter(|(_, content)| entered(content)), &who.known);
        let Some(chosen) = chosen else { return Ok(Started::Not("audience")) };
        self.begin(scope, chosen, trigger, start, who).await
    }

    /// Sends customers through one workflow by hand, each for itself.
    pub async fn by_hand(
        &self,
        caller: &Caller,
        workflow: &str,
        starts: &[Start],
    ) -> Result<Vec<Started>, Error> {
        let scope = caller.scope()?;
        let stored = self.workflows.objects.one(scope, workflow).await?;
        let refused = |code, message: &str| Err(Fault::new(Code::Refused, code, message).into());
        if stored.body.archived {
            return Err(Error::Archived);
        }
        let Some(flow) = self.workflows.objects.as_published(&stored).await? else {
            return refused("not_published", "the workflow is not published");
        };
        if flow.frozen.content.trigger != Trigger::Manual {
            return refused("not_manual", "only a workflow whose trigger is `manual` is started by hand");
        }
        if flow.head.paused {
            return refused("paused", "the workflow is paused");
        }
        let mut answers = Vec::with_capacity(starts.len());
        for start in starts {
            answers.push(self.sent(scope, &flow, start).await?);
        }
        Ok(answers)
    }

    async fn sent(
        &self,
        scope: &Scope,
        flow: &Published<WorkflowContent>,
        start: &Start,
    ) -> Result<Started, Error> {
        if let Some(run) = self.store.started_by(scope, &start.key).await? {
            return Ok(Started::Known(run.id));
        }
        let who = match self.who(scope, start).await? {
            Ok(who) => who,
            Err(why) => return Ok(Started::Not(why)),
        };
        if flow.frozen.content.audience.as_ref().is_some_and(|a| !holds(a, &who.known)) {
            return Ok(Started::Not("audience"));
        }
        self.begin(scope, flow, Trigger::Manual, start, who).await
    }

    /// Who it is about, or why nobody is.
    async fn who(&self, scope: &Scope, start: &Start) -> Result<Result<Who, &'static str>, Error> {
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let visitor = match self.billing.visitor(&caller, &start.customer, &start.subscription).await {
            Ok(visitor) => visitor,
            Err(e) if matches!(e.code().0, Code::NotFound | Code::Refused | Code::Invalid) => {
                return Ok(Err("unknown"));
            }
            Err(e) => return Err(e.into()),
        };
        if visitor.restricted {
            return Ok(Err("restricted"));
        }
        let segments = self.billing.segments(&caller, &visitor.customer_id).await?;
        let known = Known::of(&visitor.subject.country, visitor.facts, &segments);
        Ok(Ok(Who { customer: visitor.customer_id, subscription: visitor.subscription_id, known }))
    }

    async fn begin(
        &self,
        scope: &Scope,
        flow: &Published<WorkflowContent>,
        trigger: Trigger,
        start: &Start,
        who: Who,
    ) -> Result<Started, Error> {
        if !self.companies.in_service(scope).await? {
            return Ok(Started::Not("company_out_of_service"));
        }
        let now = self.clock.now();
        let since = start.at.unwrap_or(now);
        let about = if who.subscription.is_empty() { &who.customer } else { &who.subscription }.clone();
        let content = &flow.frozen.content;
        if let Some(last) = self.store.last_of(scope, &flow.id, &about).await? {
            if last.body.open.is_some() {
                return Ok(Started::UnderWay(last.id));
            }
            let ended = last.body.ended_at.unwrap_or(last.updated_at);
            let again = match content.reentry {
                Reentry::Always => true,
                Reentry::Never => false,
                Reentry::AfterDays(days) => kit::time::add_days(ended, i64::from(days)) <= now,
            };
            if !again {
                return Ok(Started::Not("reentry"));
            }
        }
        let pinned =
            FlowRef { id: flow.id.clone(), number: flow.release.number, hash: flow.release.hash.clone() };
        let run = WorkflowRun {
            customer_id: who.customer,
            subscription_id: who.subscription,
            persona_id: start.persona.clone(),
            ends_by: kit::time::add_days(now, i64::from(content.limits.max_days)),
            about: about.clone(),
            since,
            ..WorkflowRun::new(pinned, trigger, start.key.clone(), &content.start, now)
        };
        let id = kit::id::new("wfr");
        match self.store.insert(scope, id.clone(), run).await {
            Ok(read) => {
                // Archived since it was looked up: whoever stops its runs looked before this one was there.
                if self.workflows.objects.one(scope, &flow.id).await?.body.archived {
                    self.cancel(read, "workflow_archived").await?;
                    return Ok(Started::Not("no_workflow"));
                }
                tracing::info!(run.id = %id, workflow.id = %flow.id, "run {id} of {} is queued", flow.id);
                Ok(Started::Begun(id))
            }
            // Two at once: one of them began it.
            Err(store::Error::Duplicate(_)) => {
                if let Some(run) = self.store.started_by(scope, &start.key).await? {
                    return Ok(Started::Known(run.id));
                }
                match self.store.last_of(scope, &flow.id, &about).await? {
                    Some(run) => Ok(Started::UnderWay(run.id)),
                    None => Err(Error::Stale),
                }
            }
            Err(e) => Err(e.into()),
        }
    }
}

/// Whom a run is about, and what is known of them.
struct Who {
    customer: String,
    subscription: String,
    known: Known,
}
