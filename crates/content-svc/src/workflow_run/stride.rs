//! What a run does next. No clock, no database: what is known comes in, the run as it then stands goes out.

use jiff::SignedDuration;
use kit::Timestamp;

use super::model::{Began, Ended, MOST_TRIES, MOST_VISITS, RunState, RunVisit, Waiting, WorkflowRun, leased};
use crate::engine::{Decision, Halt, Known, Walker, walk};
use crate::workflow::{Action, NodeKind, Trigger, Wait, WorkflowContent};

/// What is known of the customer when a run goes on.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub known: Known,
    /// How the subscription stands (§10.1); empty where there is none.
    pub state: String,
    pub locale: String,
    pub holdout: bool,
}

/// What a run does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Stride {
    /// Something outside, under a key; then the run stands as it is here.
    Act { action: Box<Action>, key: String, then: Box<WorkflowRun> },
    /// Nothing outside: it waits, or has ended.
    Rest(Box<WorkflowRun>),
}

/// Goes on from where a run stands that a worker has taken up.
pub fn stride(run: &WorkflowRun, id: &str, flow: &WorkflowContent, seen: &Seen, now: Timestamp) -> Stride {
    let rest = |run: WorkflowRun| Stride::Rest(Box::new(run));
    if run.tries > MOST_TRIES {
        // Whoever took it up died each time before saying anything.
        return rest(run.failed(id, "worker_lost", true, now));
    }
    let mut next = run.clone();
    if let Began::By(trigger) = run.began {
        if let Some(reason) = is_gone(trigger, &seen.state, run.seen) {
            return rest(next.ended(RunState::Canceled, reason, now));
        }
        next.seen |= is_so(trigger, &seen.state);
    }
    if next.stands_at_a_wait() {
        let Some(to) = next.leave_wait(flow) else {
            return rest(next.failed(id, "node_missing", true, now));
        };
        next.node = to;
    }
    next.go(id, flow, seen, now)
}

/// Why a run is for nothing any more, by what the subscription shows.
pub fn is_gone(trigger: Trigger, state: &str, seen: bool) -> Option<&'static str> {
    let left = matches!(state, "non_renewing" | "ended");
    match (trigger, state) {
        (Trigger::PaymentFailed | Trigger::TrialEnding | Trigger::PauseEnding, _) if left => Some("left"),
        (Trigger::PaymentFailed, "paused") => Some("paused"),
        // Only once it was past due: the news of a failed payment may come before the biller shows it.
        (Trigger::PaymentFailed, "active" | "trialing") if seen => Some("paid"),
        (Trigger::TrialEnding, "active" | "past_due") => Some("converted"),
        (Trigger::PauseEnding, "active" | "past_due" | "trialing") => Some("resumed"),
        (Trigger::SubscriptionEnded, "active" | "trialing" | "past_due" | "paused") if seen => {
            Some("reactivated")
        }
        _ => None,
    }
}

/// Whether the subscription stands as the trigger says.
pub fn is_so(trigger: Trigger, state: &str) -> bool {
    match trigger {
        Trigger::PaymentFailed => state == "past_due",
        Trigger::SubscriptionEnded => state == "ended",
        _ => true,
    }
}

impl WorkflowRun {
    fn stands_at_a_wait(&self) -> bool {
        self.visits.last().is_some_and(|v| v.wait.is_some() && v.exit.is_empty())
    }

    /// Where a wait that is over leads.
    fn leave_wait(&mut self, flow: &WorkflowContent) -> Option<String> {
        let NodeKind::Wait(wait) = &flow.node(&self.node)?.kind else { return None };
        let visit = self.visits.last_mut()?;
        let (exit, to) = match visit.wait.as_ref()?.ended {
            Some(Ended::Event(_)) => ("next", wait.next.as_str()),
            _ => wait.after_time(),
        };
        exit.clone_into(&mut visit.exit);
        Some(to.to_owned())
    }

    /// Walks to the next thing to do.
    fn go(mut self, id: &str, flow: &WorkflowContent, seen: &Seen, now: Timestamp) -> Stride {
        if self.visits.len() >= MOST_VISITS {
            return Stride::Rest(Box::new(self.failed(id, "visit_limit", true, now)));
        }
        let who = Walker {
            known: &seen.known,
            workflow: &self.flow.id,
            customer: &self.customer_id,
            holdout: seen.holdout,
        };
        let mut why = Vec::new();
        let halt = walk(flow, &self.node, &who, u32::MAX, &mut why);
        // What it was led by: each node with its decisions, and its exit where the decision names it.
        for decision in why {
            self.passed(flow, decision, now);
        }
        match halt {
            Halt::Action { node, next } => {
                let Some(NodeKind::Action(action)) = flow.node(&node).map(|n| &n.kind) else {
                    return Stride::Rest(Box::new(self.failed(id, "node_missing", true, now)));
                };
                let visit = self.visit(&node, "action", now);
                let key = Self::key(id, &node, visit);
                if let Some(last) = self.visits.last_mut() {
                    last.exit = "next".into();
                }
                let then = match self.began {
                    Began::Action => Self { node, tries: 0, ..self }.ended(RunState::Completed, "", now),
                    Began::By(_) => {
                        let due_at = leased(now);
                        Self { node: next, tries: 0, last_error: String::new(), due_at, ..self }
                    }
                };
                Stride::Act { action: Box::new(action.clone()), key, then: Box::new(then) }
            }
            Halt::Wait { node, .. } => {
                let Some(NodeKind::Wait(wait)) = flow.node(&node).map(|n| &n.kind) else {
                    return Stride::Rest(Box::new(self.failed(id, "node_missing", true, now)));
                };
                self.visit(&node, "wait", now);
                Stride::Rest(Box::new(self.rests(node, wait, now)))
            }
            Halt::End { node, .. } if node.is_empty() => {
                Stride::Rest(Box::new(self.failed(id, "node_missing", true, now)))
            }
            Halt::End { node, .. } => {
                self.visit(&node, "end", now);
                let done = Self { node, tries: 0, last_error: String::new(), ..self };
                Stride::Rest(Box::new(done.ended(RunState::Completed, "", now)))
            }
            // No published workflow leads here in the background.
            Halt::Step(_) | Halt::Offer { .. } => {
                Stride::Rest(Box::new(self.failed(id, "nobody_looks_on", true, now)))
            }
        }
    }

    fn rests(mut self, node: String, wait: &Wait, now: Timestamp) -> Self {
        let over = match wait.hours {
            0 => self.ends_by,
            hours => now.checked_add(SignedDuration::from_hours(i64::from(hours))).unwrap_or(Timestamp::MAX),
        };
        let until = over.min(self.ends_by);
        if let Some(last) = self.visits.last_mut() {
            last.wait = Some(Waiting { until, event: wait.event.clone(), ended: None, ended_at: None });
        }
        let listens_to = Some(wait.event.clone()).filter(|event| !event.is_empty());
        let state = RunState::Waiting;
        Self { node, state, due_at: until, listens_to, tries: 0, last_error: String::new(), ..self }
    }

    /// Notes a node that was come to; the how manieth visit it is.
    fn visit(&mut self, node: &str, kind: &str, now: Timestamp) -> u32 {
        let visit = self.next_visit(node);
        self.visits.push(RunVisit {
            node: node.to_owned(),
            kind: kind.to_owned(),
            visit,
            at: now,
            exit: String::new(),
            why: Vec::new(),
            effect: None,
            wait: None,
        });
        visit
    }

    /// Notes a node that only decides.
    fn passed(&mut self, flow: &WorkflowContent, decision: Decision, now: Timestamp) {
        let node = flow.node(&decision.node);
        let kind = node.map_or("", |n| n.kind.noun()).to_owned();
        self.visit(&decision.node.clone(), &kind, now);
        if let Some(last) = self.visits.last_mut() {
            last.why.push(decision);
        }
    }
}
