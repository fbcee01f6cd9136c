//! Graphs on the wire.

use kit::Fault;
use proto::content as pb;
use proto::content::workflow_node::Kind;

use super::model::{Branch, EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent};
use super::node::{Action, Mail, Split, Tag, Wait};
use crate::error::Error;
use crate::rule::rpc::{maybe_rule, rule};
use crate::text::rpc::{locales, text, to_text, variables};
use crate::wire::{Wire, enum_of, mirror, some};

mirror!(Trigger => pb::WorkflowTrigger {
    CancelIntent, DowngradeIntent, PaymentFailed, TrialEnding, PauseEnding, PersonaEntered, SubscriptionEnded, Manual
});
mirror!(EndOutcome => pb::EndOutcome { Kept, Canceled, Manual });

/// Reads the content of a workflow.
pub fn content(given: Option<pb::WorkflowContent>) -> Result<WorkflowContent, Error> {
    let given = given.ok_or_else(|| Fault::field("content", "required", "the content is required"))?;
    let pb::WorkflowContent {
        trigger,
        audience,
        start,
        nodes,
        limits,
        reentry,
        hosted_template_id,
        locales: languages,
    } = given;
    let nodes = nodes.into_iter().enumerate();
    Ok(WorkflowContent {
        trigger: enum_of("content.trigger", trigger)?,
        audience: maybe_rule("content.audience", audience)?,
        start,
        nodes: nodes.map(|(i, n)| node(&format!("content.nodes[{i}]"), n)).collect::<Result<_, Fault>>()?,
        limits: limits.map(to_limits).unwrap_or_default(),
        reentry: reentry.map_or(Ok(Reentry::Always), to_reentry)?,
        hosted_template_id: some(hosted_template_id),
        locales: locales("content.locales", languages)?,
    })
}

fn node(field: &str, given: pb::WorkflowNode) -> Result<Node, Fault> {
    let pb::WorkflowNode { id, name, position, kind } = given;
    let kind = kind.ok_or_else(|| Fault::field(field, "required", "a node says what it does"))?;
    let kind = match kind {
        Kind::Step(pb::StepNode { template_id, next }) => NodeKind::Step { template_id, next },
        Kind::Condition(pb::ConditionNode { branches, otherwise }) => {
            let branches = branches.into_iter().enumerate().map(|(i, pb::Branch { when, next })| {
                Ok(Branch { when: rule(&format!("{field}.condition.branches[{i}].when"), when)?, next })
            });
            NodeKind::Condition { branches: branches.collect::<Result<_, Fault>>()?, otherwise }
        }
        Kind::Offer(pb::OfferNode { offer_ids, template_id, accepted, declined, none }) => {
            NodeKind::Offer { offer_ids, template_id, accepted, declined, none }
        }
        Kind::End(pb::EndNode { outcome, template_id }) => NodeKind::End {
            outcome: enum_of(&format!("{field}.end.outcome"), outcome)?,
            template_id: some(template_id),
        },
        Kind::Action(pb::ActionNode { action, next, mail, tag }) => {
            let mail = mail.map(|m| to_mail(&format!("{field}.action.mail"), m)).transpose()?;
            let tag = tag.map(|pb::TagAction { add, remove }| Tag { add, remove });
            NodeKind::Action(Action { action, mail, tag, next })
        }
        Kind::Split(pb::SplitNode { experiment_id, arms, otherwise, weights }) => {
            let mut arms: Vec<_> = arms.into_iter().collect();
            arms.sort();
            let mut weights: Vec<_> = weights.into_iter().collect();
            weights.sort();
            NodeKind::Split(Split { experiment_id, arms, otherwise, weights })
        }
        Kind::Wait(pb::WaitNode { hours, event, next, late }) => {
            NodeKind::Wait(Wait { hours, event, next, late: some(late) })
        }
    };
    Ok(Node { id, name, kind, position: position.map(|p| (p.x, p.y)) })
}

fn to_mail(field: &str, given: pb::MailAction) -> Result<Mail, Fault> {
    let pb::MailAction { subject, body, link, variables: names } = given;
    Ok(Mail {
        subject: text(&format!("{field}.subject"), subject)?,
        body: text(&format!("{field}.body"), body)?,
        link,
        variables: variables(&format!("{field}.variables"), names)?,
    })
}

fn to_limits(given: pb::WorkflowLimits) -> Limits {
    let pb::WorkflowLimits { max_offer_screens, max_screens_to_cancel, max_minutes, max_days } = given;
    let or = |given: u32, otherwise: u32| if given == 0 { otherwise } else { given };
    let default = Limits::default();
    Limits {
        max_offer_screens: or(max_offer_screens, default.max_offer_screens),
        max_screens_to_cancel: or(max_screens_to_cancel, default.max_screens_to_cancel),
        max_minutes: or(max_minutes, default.max_minutes),
        max_days: or(max_days, default.max_days),
    }
}

fn to_reentry(given: pb::Reentry) -> Result<Reentry, Fault> {
    match given.policy() {
        pb::ReentryPolicy::Never => Ok(Reentry::Never),
        pb::ReentryPolicy::AfterDays if given.days == 0 => {
            Err(Fault::field("content.reentry.days", "required", "after how many days is required"))
        }
        pb::ReentryPolicy::AfterDays => Ok(Reentry::AfterDays(given.days)),
        pb::ReentryPolicy::Always | pb::ReentryPolicy::Unspecified => Ok(Reentry::Always),
    }
}

impl From<WorkflowContent> for pb::WorkflowContent {
    fn from(content: WorkflowContent) -> Self {
        let WorkflowContent { trigger, audience, start, nodes, limits, reentry, hosted_template_id, locales } =
            content;
        let Limits { max_offer_screens, max_screens_to_cancel, max_minutes, max_days } = limits;
        let (policy, days) = match reentry {
            Reentry::Never => (pb::ReentryPolicy::Never, 0),
            Reentry::AfterDays(days) => (pb::ReentryPolicy::AfterDays, days),
            Reentry::Always => (pb::ReentryPolicy::Always, 0),
        };
        Self {
            trigger: trigger.to_wire(),
            audience: audience.map(Into::into),
            start,
            nodes: nodes.into_iter().map(Into::into).collect(),
            limits: Some(pb::WorkflowLimits {
                max_offer_screens,
                max_screens_to_cancel,
                max_minutes,
                max_days,
            }),
            reentry: Some(pb::Reentry { policy: policy.into(), days }),
            hosted_template_id: hosted_template_id.unwrap_or_default(),
            locales,
        }
    }
}

impl From<Node> for pb::WorkflowNode {
    fn from(node: Node) -> Self {
        let Node { id, name, kind, position } = node;
        let kind = match kind {
            NodeKind::Step { template_id, next } => Kind::Step(pb::StepNode { template_id, next }),
            NodeKind::Condition { branches, otherwise } => {
                let branches = branches
                    .into_iter()
                    .map(|Branch { when, next }| pb::Branch { when: Some(when.into()), next });
                Kind::Condition(pb::ConditionNode { branches: branches.collect(), otherwise })
            }
            NodeKind::Offer { offer_ids, template_id, accepted, declined, none } => {
                Kind::Offer(pb::OfferNode { offer_ids, template_id, accepted, declined, none })
            }
            NodeKind::End { outcome, template_id } => Kind::End(pb::EndNode {
                outcome: outcome.to_wire(),
                template_id: template_id.unwrap_or_default(),
            }),
            NodeKind::Action(Action { action, mail, tag, next }) => {
                let mail = mail.map(|Mail { subject, body, link, variables }| pb::MailAction {
                    subject: Some(to_text(subject)),
                    body: Some(to_text(body)),
                    link,
                    variables: variables.into_iter().map(Into::into).collect(),
                });
                let tag = tag.map(|Tag { add, remove }| pb::TagAction { add, remove });
                Kind::Action(pb::ActionNode { action, next, mail, tag })
            }
            NodeKind::Split(Split { experiment_id, arms, otherwise, weights }) => {
                let (arms, weights) = (arms.into_iter().collect(), weights.into_iter().collect());
                Kind::Split(pb::SplitNode { experiment_id, arms, otherwise, weights })
            }
            NodeKind::Wait(Wait { hours, event, next, late }) => {
                Kind::Wait(pb::WaitNode { hours, event, next, late: late.unwrap_or_default() })
            }
        };
        let position = position.map(|(x, y)| pb::NodePosition { x, y });
        Self { id, name, position, kind: Some(kind) }
    }
}
