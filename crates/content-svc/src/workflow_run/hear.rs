//! What runs hear of the others: what begins one, what ends one because its reason is gone, and what wakes one that
//! waits. Everything may come twice and late.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use jiff::SignedDuration;
use kit::{Scope, Timestamp};
use prost::Message as _;
use proto::events as pb;
use proto::events::event::Data;

use super::model::{Began, WorkflowRun};
use super::occasion::{Occasions, ends_of};
use super::ops::{Start, WorkflowRuns};
use super::stride::{is_gone, is_so};
use crate::error::Error;
use crate::workflow::Trigger;

/// Under which name runs listen: not that of the service, whose rooms hear some of this for themselves.
pub const NAME: &str = "content-svc-runs";
/// The families of events that runs hear.
pub const FAMILIES: [&str; 6] = ["payment", "subscription", "persona", "customer", "redemption", "flow"];

/// How much earlier an event may have occurred than a wait began that it ends: clocks of two machines.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// Hears for the runs.
pub struct Listener {
    pub runs: WorkflowRuns,
    pub occasions: Occasions,
}

impl Listener {
    /// One for every family, as each is a subscription of its own.
    pub fn shared(runs: WorkflowRuns, occasions: Occasions) -> Arc<Self> {
        Arc::new(Self { runs, occasions })
    }
}

#[async_trait]
impl Handler for Listener {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match pb::Event::decode(incoming.body.as_ref()) {
                Err(e) => Outcome::Dead(format!("the event cannot be read: {e}")),
                Ok(event) => match Box::pin(self.hear(incoming, event.data)).await {
                    Ok(()) => Outcome::Done,
                    Err(e) => Outcome::Retry(e.to_string()),
                },
            });
        }
        outcomes
    }
}

impl Listener {
    async fn hear(&self, incoming: &Incoming, data: Option<Data>) -> Result<(), Error> {
        let (scope, at) = (&incoming.scope, incoming.occurred_at);
        let mut names = vec![incoming.kind.clone()];
        let customer = match data {
            Some(Data::PaymentChanged(p)) => {
                match incoming.kind.as_str() {
                    "payment.failed" => {
                        let start = start(incoming, &p.customer_id, &p.subscription_id);
                        self.runs.happened(scope, Trigger::PaymentFailed, &start).await?;
                    }
                    "payment.recovered" => {
                        let paid = |run: &WorkflowRun| {
                            let of = is(run, Trigger::PaymentFailed, at)
                                && run.subscription_id == p.subscription_id;
                            of.then_some("paid")
                        };
                        self.runs.stop_of(scope, &p.customer_id, paid).await?;
                    }
                    _ => {}
                }
                p.customer_id
            }
            Some(Data::SubscriptionChanged(s)) => {
                self.turned(incoming, &s).await?;
                if s.state != s.previous_state {
                    names.push(format!("subscription.{}", s.state));
                }
                s.customer_id
            }
            Some(Data::PersonaMembership(p)) => {
                if incoming.kind == "persona.entered" {
                    let start =
                        Start { persona: Some(p.persona_id.clone()), ..start(incoming, &p.customer_id, "") };
                    self.runs.happened(scope, Trigger::PersonaEntered, &start).await?;
                } else {
                    let left = |run: &WorkflowRun| {
                        let of = is(run, Trigger::PersonaEntered, at)
                            && run.persona_id.as_ref() == Some(&p.persona_id);
                        of.then_some("persona_left")
                    };
                    self.runs.stop_of(scope, &p.customer_id, left).await?;
                }
                p.customer_id
            }
            Some(Data::CustomerErased(c)) => {
                self.occasions.forget(scope, &c.customer_id).await?;
                self.runs.stop_of(scope, &c.customer_id, |_| Some("customer_erased")).await?;
                return Ok(());
            }
            Some(Data::CustomerMerged(m)) => return self.merged(incoming, &m).await,
            Some(Data::CustomerTagged(c)) => c.customer_id,
            Some(Data::RedemptionChanged(r)) => r.customer_id,
            Some(Data::FlowSessionChanged(f)) => f.customer_id,
            _ => return Ok(()),
        };
        if customer.is_empty() {
            return Ok(());
        }
        self.runs.wake(scope, &customer, &names, &incoming.id, at).await
    }

    /// A subscription changed its state, or when it will.
    async fn turned(&self, incoming: &Incoming, s: &pb::SubscriptionChanged) -> Result<(), Error> {
        let (scope, at) = (&incoming.scope, incoming.occurred_at);
        let time = |t: &Option<_>| t.as_ref().and_then(kit::time::from_proto);
        let trial = time(&s.trial_end).filter(|_| s.state == "trialing");
        let pause = time(&s.resumes_at).filter(|_| s.state == "paused");
        for (trigger, when) in [(Trigger::TrialEnding, trial), (Trigger::PauseEnding, pause)] {
            // Most changes are about neither; where the one that was is missed, billing is asked when the time comes.
            let (state, _) = ends_of(trigger);
            if s.state == state || s.previous_state == state {
                self.occasions.note(scope, trigger, &s.customer_id, &s.subscription_id, when).await?;
            }
        }
        let gone = |run: &WorkflowRun| {
            let Began::By(trigger) = run.began else { return None };
            if at < run.since {
                return None;
            }
            if run.subscription_id == s.subscription_id {
                return is_gone(trigger, &s.state, run.seen || is_so(trigger, &s.previous_state));
            }
            // Back with another one.
            let anew = matches!(s.previous_state.as_str(), "" | "pending" | "ended");
            let back = anew && matches!(s.state.as_str(), "active" | "trialing");
            (trigger == Trigger::SubscriptionEnded && back).then_some("reactivated")
        };
        self.runs.stop_of(scope, &s.customer_id, gone).await?;
        if s.state == "ended" && s.previous_state != "ended" {
            let start = start(incoming, &s.customer_id, &s.subscription_id);
            self.runs.happened(scope, Trigger::SubscriptionEnded, &start).await?;
        }
        Ok(())
    }

    async fn merged(&self, incoming: &Incoming, m: &pb::CustomerMerged) -> Result<(), Error> {
        let scope = &incoming.scope;
        let (absorbed, survivor) = (&m.absorbed_id, &m.survivor_id);
        if incoming.kind == "customer.unmerged" {
            self.runs.store.part(scope, absorbed, survivor).await?;
            return Ok(self.occasions.moved(scope, &m.subscription_ids, absorbed).await?);
        }
        self.runs.store.join(scope, absorbed, survivor).await?;
        Ok(self.occasions.moved(scope, &m.subscription_ids, survivor).await?)
    }
}

impl WorkflowRuns {
    /// Wakes what waits for this of a customer.
    async fn wake(
        &self,
        scope: &Scope,
        customer: &str,
        names: &[String],
        event: &str,
        at: Timestamp,
    ) -> Result<(), Error> {
        for read in self.store.listening(scope, customer, names).await? {
            let since = read.body.visits.last().map(|v| v.at);
            if since.is_some_and(|since| at.checked_add(MARGIN).is_ok_and(|at| at < since)) {
                continue;
            }
            let Some(woken) = read.body.woken(event, self.clock.now()) else { continue };
            match self.store.replace(&read, woken, Vec::new()).await {
                // Its time came, or it was canceled, this very moment.
                Ok(_) | Err(store::Error::Stale(_) | store::Error::NotFound(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// Whether a run began by this trigger, and not after what is told.
fn is(run: &WorkflowRun, trigger: Trigger, at: Timestamp) -> bool {
    run.began == Began::By(trigger) && at >= run.since
}

fn start(incoming: &Incoming, customer: &str, subscription: &str) -> Start {
    Start {
        customer: customer.to_owned(),
        subscription: subscription.to_owned(),
        key: format!("{}/{}", incoming.kind, incoming.id),
        persona: None,
        at: Some(incoming.occurred_at),
    }
}
