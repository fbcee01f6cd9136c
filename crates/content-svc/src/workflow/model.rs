//! The graph of a flow. What makes it fit to be published is in `graph.rs`.

use serde::{Deserialize, Serialize};

use super::node::{Action, Split, Wait};
use crate::rule::Rule;
use crate::versioned::Content;

/// What starts a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    CancelIntent,
    DowngradeIntent,
    PaymentFailed,
    TrialEnding,
    PauseEnding,
    PersonaEntered,
    SubscriptionEnded,
    Manual,
}

impl Trigger {
    /// Every trigger.
    pub const ALL: [Self; 8] = [
        Self::CancelIntent,
        Self::DowngradeIntent,
        Self::PaymentFailed,
        Self::TrialEnding,
        Self::PauseEnding,
        Self::PersonaEntered,
        Self::SubscriptionEnded,
        Self::Manual,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CancelIntent => "cancel_intent",
            Self::DowngradeIntent => "downgrade_intent",
            Self::PaymentFailed => "payment_failed",
            Self::TrialEnding => "trial_ending",
            Self::PauseEnding => "pause_ending",
            Self::PersonaEntered => "persona_entered",
            Self::SubscriptionEnded => "subscription_ended",
            Self::Manual => "manual",
        }
    }

    /// Whether the customer came to cancel, so that every path must let them.
    pub fn is_about_leaving(self) -> bool {
        matches!(self, Self::CancelIntent | Self::DowngradeIntent)
    }

    /// Whether nobody looks on: its workflows run in the background.
    pub fn is_in_the_background(self) -> bool {
        !self.is_about_leaving()
    }
}

/// How a flow ends, as far as the graph says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndOutcome {
    Kept,
    Canceled,
    Manual,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub id: String,
    pub name: String,
    pub kind: NodeKind,
    pub position: Option<(i32, i32)>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// Shows a page.
    Step {
        template_id: String,
        next: String,
    },
    /// Goes where the first rule that holds points.
    Condition {
        branches: Vec<Branch>,
        otherwise: String,
    },
    /// Shows the first of its offers that this customer may have.
    Offer {
        offer_ids: Vec<String>,
        template_id: String,
        accepted: String,
        declined: String,
        none: String,
    },
    End {
        outcome: EndOutcome,
        template_id: Option<String>,
    },
    /// Does something outside.
    Action(Action),
    /// Goes the way of the customer's arm.
    Split(Split),
    /// Goes on later.
    Wait(Wait),
}

/// One way out of a condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    pub when: Rule,
    pub next: String,
}

impl NodeKind {
    /// Every way out, with its name.
    pub fn exits(&self) -> Vec<(String, &str)> {
        let one = |name: &str, to| (name.to_owned(), to);
        match self {
            Self::Step { next, .. } | Self::Action(Action { next, .. }) => vec![one("next", next.as_str())],
            Self::Wait(Wait { next, late, .. }) => {
                let late = late.as_deref().map(|late| one("late", late));
                std::iter::once(one("next", next.as_str())).chain(late).collect()
            }
            Self::Condition { branches, otherwise } => {
                let mut exits: Vec<_> = branches
                    .iter()
                    .enumerate()
                    .map(|(i, b)| (format!("branches[{i}].next"), b.next.as_str()))
                    .collect();
                exits.push(one("otherwise", otherwise));
                exits
            }
            Self::Offer { accepted, declined, none, .. } => {
                vec![one("accepted", accepted), one("declined", declined), one("none", none)]
            }
            Self::Split(Split { arms, otherwise, .. }) => {
                let mut exits: Vec<_> =
                    arms.iter().map(|(arm, to)| (format!("arms[{arm}]"), to.as_str())).collect();
                exits.push(one("otherwise", otherwise));
                exits
            }
            Self::End { .. } => Vec::new(),
        }
    }

    /// The template it shows, if any.
    pub fn template_id(&self) -> Option<&str> {
        match self {
            Self::Step { template_id, .. } | Self::Offer { template_id, .. } => Some(template_id),
            Self::End { template_id, .. } => template_id.as_deref(),
            _ => None,
        }
    }

    /// Its kind, as everybody calls it.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Step { .. } => "step",
            Self::Condition { .. } => "condition",
            Self::Offer { .. } => "offer",
            Self::End { .. } => "end",
            Self::Action(_) => "action",
            Self::Split(_) => "split",
            Self::Wait(_) => "wait",
        }
    }
}

/// How much a flow may ask of a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Offer screens in one session.
    pub max_offer_screens: u32,
    /// Screens from any step to the cancellation, for a customer who declines everything.
    pub max_screens_to_cancel: u32,
    /// Minutes a session may last.
    pub max_minutes: u32,
    /// Days a run may last. Left out where it is usual: what was frozen before there were runs keeps its hash.
    #[serde(default = "usual_days", skip_serializing_if = "is_usual")]
    pub max_days: u32,
}

fn usual_days() -> u32 {
    30
}

fn is_usual(days: &u32) -> bool {
    *days == usual_days()
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_offer_screens: 2, max_screens_to_cancel: 6, max_minutes: 120, max_days: usual_days() }
    }
}

/// When the same subscription may go through the flow again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reentry {
    Never,
    AfterDays(u32),
    #[default]
    Always,
}

/// What a workflow has beside its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowHead {
    /// Rank among the workflows of the same trigger, 1 first.
    pub priority: u32,
    /// Starts no new session.
    pub paused: bool,
}

/// What is frozen when a workflow is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowContent {
    pub trigger: Trigger,
    /// Whom it is for; none: everyone.
    pub audience: Option<Rule>,
    /// The node it starts at.
    pub start: String,
    pub nodes: Vec<Node>,
    pub limits: Limits,
    pub reentry: Reentry,
    /// The frame of the hosted page; none: ours.
    pub hosted_template_id: Option<String>,
    pub locales: Vec<String>,
}

impl Content for WorkflowContent {
    type Head = WorkflowHead;
    const NOUN: &'static str = "workflow";
    const PREFIX: &'static str = "wfl";
    const COLLECTION: &'static str = "workflows";
    const VERSIONS: &'static str = "workflow_versions";
    const ORDER: Option<&'static str> = Some("body.head.priority");
    const INDEXES: &'static [&'static [&'static str]] =
        &[&["body.live.content.trigger"], &["body.archived", "body.head.priority", "_id"]];

    fn facet(&self) -> &'static str {
        self.trigger.as_str()
    }
}

impl WorkflowContent {
    /// The node of this id.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.id == id)
    }

    /// The templates it shows, without repeats.
    pub fn template_ids(&self) -> Vec<&str> {
        let shown = self.nodes.iter().filter_map(|n| n.kind.template_id());
        unique(shown.chain(self.hosted_template_id.as_deref()))
    }

    /// The offers it may make, in the order of the graph, without repeats.
    pub fn offer_ids(&self) -> Vec<&str> {
        let offers = self.nodes.iter().filter_map(|n| match &n.kind {
            NodeKind::Offer { offer_ids, .. } => Some(offer_ids.iter().map(String::as_str)),
            _ => None,
        });
        unique(offers.flatten())
    }
}

fn unique<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    ids.filter(|id| seen.insert(*id)).collect()
}
