//! Going through a flow without a customer: the walk that serves customers, with answers and offers from a script. Nothing
//! is shown, asked of anybody, or done.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::evaluate::{Answer, Known};
use super::walk::{Candidate, Decision, Halt, Walker, choose, walk};
use crate::workflow::{Action, EndOutcome, NodeKind, Page, Wait, WorkflowContent};

/// What the customer of a rehearsal would say and do.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// By question. A page that asks none of these is passed without an answer.
    pub answers: BTreeMap<String, Answer>,
    /// What can be had.
    pub candidates: Vec<Candidate>,
    /// The offers that would be taken; every other is declined.
    pub takes: BTreeSet<String>,
    /// The workflow and the customer, as far as there are such: what arms are drawn by.
    pub workflow: String,
    pub customer: String,
}

/// Where a rehearsal came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    pub node: String,
    /// The page it shows, if one of the workflow's.
    pub template_id: Option<String>,
    /// The offer on the page.
    pub offer_id: Option<String>,
    /// The exit taken; empty at the last one.
    pub exit: String,
}

/// How a rehearsal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curtain {
    /// An offer was taken, and the flow ended with it.
    Saved,
    /// The customer stays without an offer.
    Kept,
    Canceled,
    Manual,
    /// A page asks for something the script does not answer.
    Unanswered,
}

impl Curtain {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Saved => "saved",
            Self::Kept => "kept",
            Self::Canceled => "canceled",
            Self::Manual => "manual",
            Self::Unanswered => "unanswered",
        }
    }
}

/// A rehearsal, from the first page to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    pub scenes: Vec<Scene>,
    pub why: Vec<Decision>,
    pub ended: Curtain,
}

/// Goes through a flow as somebody of whom `known` is known would, and who acts by the script. `pages` by template.
pub fn rehearse(
    flow: &WorkflowContent,
    pages: &HashMap<String, Page>,
    mut known: Known,
    script: &Script,
) -> Course {
    let mut course = Course { scenes: Vec::new(), why: Vec::new(), ended: Curtain::Canceled };
    let (mut at, mut offered, mut taken) = (flow.start.clone(), BTreeSet::new(), false);
    // A graph may go round where it waits, and a draft anyhow; a rehearsal ends all the same.
    for _ in 0..=flow.nodes.len() {
        let shown = u32::try_from(offered.len()).unwrap_or(u32::MAX);
        let who = Walker::new(&known, &script.workflow, &script.customer);
        let (node, next) = match walk(flow, &at, &who, shown, &mut course.why) {
            Halt::Action { node, next } => {
                if let Some(NodeKind::Action(Action { action, .. })) = flow.node(&node).map(|n| &n.kind) {
                    let message = format!("{action}: would be done here, and is not");
                    course.why.push(Decision::new(&node, "action_taken", message));
                }
                course.scenes.push(scene(flow, node.clone(), None, "next"));
                (node, next)
            }
            Halt::Wait { node, next } => {
                // Nothing happens in a rehearsal but that time passes.
                let exit = match flow.node(&node).map(|n| &n.kind) {
                    Some(NodeKind::Wait(wait)) => {
                        course.why.push(Decision::new(&node, "time_passes", waited(wait)));
                        wait.after_time()
                    }
                    _ => ("next", next.as_str()),
                };
                course.scenes.push(scene(flow, node.clone(), None, exit.0));
                let next = exit.1.to_owned();
                (node, next)
            }
            Halt::End { node, outcome } => {
                course.ended = match outcome {
                    EndOutcome::Kept if taken => Curtain::Saved,
                    EndOutcome::Kept => Curtain::Kept,
                    EndOutcome::Canceled => Curtain::Canceled,
                    EndOutcome::Manual => Curtain::Manual,
                };
                course.scenes.push(scene(flow, node, None, ""));
                return course;
            }
            Halt::Step(node) => match answered(flow, pages, &node, &mut known, script, &mut course.why) {
                Some(next) => {
                    course.scenes.push(scene(flow, node.clone(), None, "next"));
                    (node, next)
                }
                None => {
                    course.scenes.push(scene(flow, node, None, ""));
                    course.ended = Curtain::Unanswered;
                    return course;
                }
            },
            Halt::Offer { node, offer_ids, none } => {
                let fresh: Vec<_> = offer_ids.into_iter().filter(|id| !offered.contains(id)).collect();
                let Some(chosen) = choose(&node, &fresh, &script.candidates, &mut course.why) else {
                    at = none;
                    continue;
                };
                offered.insert(chosen.offer_id.clone());
                let takes = script.takes.contains(&chosen.offer_id);
                let exit = if takes { "accepted" } else { "declined" };
                taken |= takes;
                course.scenes.push(scene(flow, node.clone(), Some(chosen.offer_id.clone()), exit));
                let next = exit_of(flow, &node, exit);
                (node, next)
            }
        };
        match next {
            next if next.is_empty() => {
                course.why.push(Decision::new(&node, "node_missing", "the graph leads nowhere from here"));
                return course;
            }
            next => at = next,
        }
    }
    course.why.push(Decision::new(&at, "circle", "the flow comes back to where it was"));
    course
}

fn waited(wait: &Wait) -> String {
    match (wait.hours, wait.event.as_str()) {
        (0, event) => format!("it waits for {event}, which comes"),
        (hours, "") => format!("{hours} hours pass"),
        (hours, event) => format!("{hours} hours pass without {event}"),
    }
}

/// Answers a page by the script and says where it leads; none where something is missing or does not fit.
fn answered(
    flow: &WorkflowContent,
    pages: &HashMap<String, Page>,
    node: &str,
    known: &mut Known,
    script: &Script,
    why: &mut Vec<Decision>,
) -> Option<String> {
    let template = flow.node(node).and_then(|n| n.kind.template_id());
    if let Some(page) = template.and_then(|id| pages.get(id)) {
        let shown = page.questions_shown();
        let said = script.answers.iter().filter(|(key, _)| shown.contains(&key.as_str()));
        let said = said.map(|(key, answer)| (key.clone(), answer.clone())).collect();
        let asked: Vec<_> = page.questionnaires.iter().map(|q| &q.content).collect();
        if let Err(wrong) = known.hear(said, &asked, &shown) {
            for finding in wrong.into_vec() {
                why.push(Decision::new(
                    node,
                    finding.code,
                    format!("{}: {}", finding.field, finding.message),
                ));
            }
            return None;
        }
    }
    Some(exit_of(flow, node, "next"))
}

fn exit_of(flow: &WorkflowContent, node: &str, name: &str) -> String {
    let exits = flow.node(node).map(|n| n.kind.exits()).unwrap_or_default();
    exits.into_iter().find(|(exit, _)| exit == name).map(|(_, to)| to.to_owned()).unwrap_or_default()
}

fn scene(flow: &WorkflowContent, node: String, offer_id: Option<String>, exit: &str) -> Scene {
    let kind = flow.node(&node).map(|n| &n.kind);
    let template_id = kind.and_then(NodeKind::template_id).map(str::to_owned);
    Scene { node, template_id, offer_id, exit: exit.to_owned() }
}
