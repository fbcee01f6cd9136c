//! A workflow as a text file: YAML with its fields in one order and one line each, pages by their keys, nothing that is as
//! it would be anyway. `file_read.rs` reads it.

use std::collections::BTreeMap;

use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use super::model::{Branch, EndOutcome, Limits, Node, NodeKind, Reentry, Trigger, WorkflowContent};
use super::node::{Action, Mail, Split, Tag, Wait};
use crate::rule::{Op, Rule, Value};
use crate::text::{Format, Variable};

/// What a reader sees first.
const HEAD: &str = "# A workflow of Retention Stack. `POST /v1/workflows/import` reads it.\n";

/// The file as it is written. Names are those of the API, but for templates, which go by their keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) workflow: String,
    pub(super) trigger: Trigger,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) audience: Option<RuleText>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) limits: LimitsText,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) reentry: ReentryText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hosted_template: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) locales: Vec<String>,
    pub(super) start: String,
    pub(super) nodes: Vec<NodeText>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsText {
    pub(super) max_offer_screens: u32,
    pub(super) max_screens_to_cancel: u32,
    pub(super) max_minutes: u32,
    #[serde(skip_serializing_if = "is_usual")]
    pub(super) max_days: u32,
}

fn is_usual(days: &u32) -> bool {
    *days == Limits::default().max_days
}

impl Default for LimitsText {
    fn default() -> Self {
        let Limits { max_offer_screens, max_screens_to_cancel, max_minutes, max_days } = Limits::default();
        Self { max_offer_screens, max_screens_to_cancel, max_minutes, max_days }
    }
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReentryText {
    pub(super) policy: Policy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) days: Option<u32>,
}

#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Policy {
    Never,
    AfterDays,
    #[default]
    Always,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeText {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) step: Option<StepText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) condition: Option<ConditionText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offer: Option<OfferText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<EndText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<ActionText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) split: Option<SplitText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) wait: Option<WaitText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<Position>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    pub(super) x: i32,
    pub(super) y: i32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    pub(super) template: String,
    pub(super) next: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConditionText {
    pub(super) branches: Vec<BranchText>,
    pub(super) otherwise: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BranchText {
    pub(super) when: RuleText,
    pub(super) next: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfferText {
    pub(super) offers: Vec<String>,
    pub(super) template: String,
    pub(super) accepted: String,
    pub(super) declined: String,
    pub(super) none: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EndText {
    pub(super) outcome: EndOutcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) template: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionText {
    pub(super) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mail: Option<MailText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tag: Option<TagText>,
    pub(super) next: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MailText {
    pub(super) subject: LocalText,
    pub(super) body: LocalText,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) link: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) variables: Vec<VariableText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariableText {
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) attribute: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) format: Format,
    pub(super) fallback: LocalText,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TagText {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) add: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) remove: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SplitText {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) experiment: String,
    pub(super) arms: BTreeMap<String, String>,
    pub(super) otherwise: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) weights: BTreeMap<String, u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitText {
    #[serde(default)]
    pub(super) hours: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) event: String,
    pub(super) next: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) late: Option<String>,
}

/// A rule: exactly one field says what it is.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RuleText {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) all: Option<Vec<RuleText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) any: Option<Vec<RuleText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) not: Option<Box<RuleText>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) persona: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fact: Option<FactText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<AnswerText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactText {
    pub(super) key: String,
    pub(super) op: Op,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerText {
    pub(super) question: String,
    pub(super) op: Op,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The file of a workflow; `key` names a template.
pub fn write(
    name: &str,
    content: &WorkflowContent,
    key: &dyn Fn(&str) -> String,
) -> Result<String, serde_yaml_ng::Error> {
    let WorkflowContent { trigger, audience, start, nodes, limits, reentry, hosted_template_id, locales } =
        content;
    let Limits { max_offer_screens, max_screens_to_cancel, max_minutes, max_days } = *limits;
    let (policy, days) = match reentry {
        Reentry::Never => (Policy::Never, None),
        Reentry::AfterDays(days) => (Policy::AfterDays, Some(*days)),
        Reentry::Always => (Policy::Always, None),
    };
    let file = File {
        workflow: name.to_owned(),
        trigger: *trigger,
        audience: audience.as_ref().map(rule_text),
        limits: LimitsText { max_offer_screens, max_screens_to_cancel, max_minutes, max_days },
        reentry: ReentryText { policy, days },
        hosted_template: hosted_template_id.as_deref().map(key),
        locales: locales.clone(),
        start: start.clone(),
        nodes: nodes.iter().map(|n| node_text(n, key)).collect(),
    };
    Ok(format!("{HEAD}{}", serde_yaml_ng::to_string(&file)?))
}

fn node_text(node: &Node, key: &dyn Fn(&str) -> String) -> NodeText {
    let Node { id, name, kind, position } = node;
    let mut text = NodeText {
        id: id.clone(),
        name: name.clone(),
        position: position.map(|(x, y)| Position { x, y }),
        ..NodeText::default()
    };
    match kind.clone() {
        NodeKind::Step { template_id, next } => {
            text.step = Some(StepText { template: key(&template_id), next });
        }
        NodeKind::Condition { branches, otherwise } => {
            let branches =
                branches.into_iter().map(|Branch { when, next }| BranchText { when: rule_text(&when), next });
            text.condition = Some(ConditionText { branches: branches.collect(), otherwise });
        }
        NodeKind::Offer { offer_ids, template_id, accepted, declined, none } => {
            let template = key(&template_id);
            text.offer = Some(OfferText { offers: offer_ids, template, accepted, declined, none });
        }
        NodeKind::End { outcome, template_id } => {
            text.end = Some(EndText { outcome, template: template_id.as_deref().map(key) });
        }
        NodeKind::Action(Action { action, mail, tag, next }) => {
            let mail = mail.map(mail_text);
            let tag = tag.map(|Tag { add, remove }| TagText { add, remove });
            text.action = Some(ActionText { action, mail, tag, next });
        }
        NodeKind::Split(Split { experiment_id, arms, otherwise, weights }) => {
            let (arms, weights) = (arms.into_iter().collect(), weights.into_iter().collect());
            text.split = Some(SplitText { experiment: experiment_id, arms, otherwise, weights });
        }
        NodeKind::Wait(Wait { hours, event, next, late }) => {
            text.wait = Some(WaitText { hours, event, next, late });
        }
    }
    text
}

fn mail_text(mail: Mail) -> MailText {
    let Mail { subject, body, link, variables } = mail;
    let variables = variables.into_iter().map(|Variable { key, attribute, format, fallback }| {
        let attribute = if attribute == key { String::new() } else { attribute };
        VariableText { key, attribute, format, fallback }
    });
    MailText { subject, body, link, variables: variables.collect() }
}

fn rule_text(rule: &Rule) -> RuleText {
    let mut text = RuleText::default();
    match rule.clone() {
        Rule::All(rules) => text.all = Some(rules.iter().map(rule_text).collect()),
        Rule::Any(rules) => text.any = Some(rules.iter().map(rule_text).collect()),
        Rule::Not(rule) => text.not = Some(Box::new(rule_text(&rule))),
        Rule::Persona(id) => text.persona = Some(id),
        Rule::Region(code) => text.region = Some(code),
        Rule::Reason(category) => text.reason = Some(category),
        Rule::Fact { key, op, value } => text.fact = Some(FactText { key, op, value }),
        Rule::Answer { question, op, value } => text.answer = Some(AnswerText { question, op, value }),
    }
    text
}
