//! Walking a graph from where the customer stands to the next page, and choosing among offers.

use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use super::draw::draw;
use super::evaluate::{Known, holds};
use crate::workflow::{Action, EndOutcome, NodeKind, Split, Wait, WorkflowContent};

/// What the engine decided and why: the explanation of a session is a list of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Where; empty before the first node.
    pub node: String,
    /// Stable slug.
    pub code: String,
    pub message: String,
}

impl Decision {
    pub fn new(node: &str, code: &str, message: impl Into<String>) -> Self {
        Self { node: node.to_owned(), code: code.to_owned(), message: message.into() }
    }
}

/// Who walks.
#[derive(Clone, Copy, Debug)]
pub struct Walker<'a> {
    pub known: &'a Known,
    /// The workflow the graph is a version of, and the customer: what arms are drawn by.
    pub workflow: &'a str,
    pub customer: &'a str,
    /// In the standing holdout, and so in no experiment.
    pub holdout: bool,
}

impl<'a> Walker<'a> {
    pub fn new(known: &'a Known, workflow: &'a str, customer: &'a str) -> Self {
        Self { known, workflow, customer, holdout: false }
    }
}

/// Where a walk stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// A page is to be shown.
    Step(String),
    /// Offers are to be looked at, in this order; [`choose`] says which, and where to go when there is none.
    Offer { node: String, offer_ids: Vec<String>, none: String },
    /// Something is to be done outside; then it goes on.
    Action { node: String, next: String },
    /// Time is to pass, or something to happen.
    Wait { node: String, next: String },
    /// The flow ends.
    End { node: String, outcome: EndOutcome },
}

/// An offer as the biller sees it for this subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub offer_id: String,
    pub name: String,
    pub kind: String,
    /// What it is called where it is shown.
    pub text: LocalText,
    /// Its terms in plain words.
    #[serde(default)]
    pub terms_text: LocalText,
    /// Where the customer goes on after taking it; empty where nowhere.
    #[serde(default)]
    pub url: String,
    pub eligible: bool,
    /// Why not: slug and sentence.
    pub reasons: Vec<(String, String)>,
}

/// The first of the workflows whose audience fits; `audiences` in order.
pub fn choose_workflow<'a, T>(
    mut flows: impl Iterator<Item = (&'a T, &'a WorkflowContent)>,
    known: &Known,
) -> Option<&'a T> {
    flows.find(|(_, flow)| flow.audience.as_ref().is_none_or(|a| holds(a, known))).map(|(t, _)| t)
}

/// Walks from a node on, through conditions and splits, to the next thing that needs somebody or does something.
/// `offers_shown` counts offer screens so far. A node that is not there ends the flow with the cancellation: nothing may hold the customer.
pub fn walk(
    flow: &WorkflowContent,
    from: &str,
    who: &Walker<'_>,
    offers_shown: u32,
    why: &mut Vec<Decision>,
) -> Halt {
    let mut at = from.to_owned();
    // No circle of a published graph goes through these nodes only; the bound holds even if one were stored.
    for _ in 0..=flow.nodes.len() {
        let Some(node) = flow.node(&at) else { break };
        match &node.kind {
            NodeKind::Step { .. } => return Halt::Step(at),
            NodeKind::End { outcome, .. } => return Halt::End { node: at, outcome: *outcome },
            NodeKind::Condition { branches, otherwise } => {
                let branch = branches.iter().enumerate().find(|(_, b)| holds(&b.when, who.known));
                let next = match branch {
                    Some((i, branch)) => {
                        let message = format!("branch {} holds: on to {}", i + 1, branch.next);
                        why.push(Decision::new(&at, "branch_taken", message));
                        &branch.next
                    }
                    None => {
                        let message = format!("no branch holds: on to {otherwise}");
                        why.push(Decision::new(&at, "otherwise_taken", message));
                        otherwise
                    }
                };
                at.clone_from(next);
            }
            NodeKind::Offer { offer_ids, none, .. } => {
                if offers_shown < flow.limits.max_offer_screens {
                    return Halt::Offer { node: at, offer_ids: offer_ids.clone(), none: none.clone() };
                }
                let message = format!("{offers_shown} offers were shown, which is the limit");
                why.push(Decision::new(&at, "offer_limit_reached", message));
                at.clone_from(none);
            }
            NodeKind::Action(Action { next, .. }) => return Halt::Action { node: at, next: next.clone() },
            NodeKind::Wait(Wait { next, .. }) => return Halt::Wait { node: at, next: next.clone() },
            NodeKind::Split(split) => {
                let (next, decision) = arm(split, &at, who);
                why.push(decision);
                at = next;
            }
        }
    }
    why.push(Decision::new(&at, "node_missing", "the graph leads nowhere: the customer may cancel"));
    Halt::End { node: String::new(), outcome: EndOutcome::Canceled }
}

/// Which way a split leads a customer, and why.
fn arm(split: &Split, node: &str, who: &Walker<'_>) -> (String, Decision) {
    let otherwise = |code, message: &str| {
        (split.otherwise.clone(), Decision::new(node, code, format!("{message}: on to {}", split.otherwise)))
    };
    if who.holdout {
        return otherwise("held_out", "the customer is in the standing holdout, and so in no experiment");
    }
    let Some(arm) = draw(split, who.workflow, node, who.customer) else {
        return otherwise("no_arm", "no arm has a weight");
    };
    match split.arms.iter().find(|(name, _)| name == arm) {
        Some((_, next)) => {
            let what = match split.experiment_id.as_str() {
                "" => "this split",
                experiment => experiment,
            };
            let message = format!("the customer is in arm {arm} of {what}: on to {next}");
            (next.clone(), Decision::new(node, "arm_drawn", message))
        }
        None => otherwise("no_arm", "the arm is not there"),
    }
}

/// The first of a node's offers that may be had, in the node's order.
pub fn choose<'c>(
    node: &str,
    offer_ids: &[String],
    candidates: &'c [Candidate],
    why: &mut Vec<Decision>,
) -> Option<&'c Candidate> {
    for id in offer_ids {
        let Some(candidate) = candidates.iter().find(|c| c.offer_id == *id) else {
            why.push(Decision::new(node, "offer_unknown", format!("nothing is known of offer {id}")));
            continue;
        };
        if candidate.eligible {
            why.push(Decision::new(
                node,
                "offer_chosen",
                format!("{} is the first that fits", candidate.name),
            ));
            return Some(candidate);
        }
        let reasons: Vec<_> = candidate.reasons.iter().map(|(code, _)| code.as_str()).collect();
        let message = format!("{} is withheld: {}", candidate.name, reasons.join(", "));
        why.push(Decision::new(node, "offer_withheld", message));
    }
    None
}
