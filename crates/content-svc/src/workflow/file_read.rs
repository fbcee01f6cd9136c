//! Reading a workflow's file. What it holds and we do not know is refused with line and column; what does not fit, with its
//! path, all at once.

use super::file::{
    ActionText, AnswerText, BranchText, ConditionText, EndText, FactText, File, LimitsText, MailText,
    NodeText, OfferText, Policy, Position, ReentryText, RuleText, SplitText, StepText, TagText, VariableText,
    WaitText,
};
use super::model::{Branch, EndOutcome, Limits, Node, NodeKind, Reentry, WorkflowContent};
use super::node::{Action, Mail, Split, Tag, Wait};
use crate::rule::{DEEPEST, Op, Rule, Value};
use crate::text::Variable;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// `line 12, column 5`, or a path such as `nodes[ask].step.template`.
    pub place: String,
    pub code: &'static str,
    pub message: String,
}

impl Wrong {
    fn new(place: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { place: place.into(), code, message: message.into() }
    }
}

/// Name and content of a file; `id` finds a template by its key. Everything that is wrong is said at once, but for what
/// cannot be read at all.
pub fn read(
    text: &str,
    id: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, WorkflowContent), Vec<Wrong>> {
    let file: File = serde_yaml_ng::from_str(text).map_err(|e| {
        let place = e.location().map_or_else(
            || String::from("the file"),
            |at| format!("line {}, column {}", at.line(), at.column()),
        );
        vec![Wrong::new(place, "not_a_workflow", e.to_string())]
    })?;
    let File { workflow, trigger, audience, limits, reentry, hosted_template, locales, start, nodes } = file;
    let mut reading = Reading { id, wrong: Vec::new() };
    let LimitsText { max_offer_screens, max_screens_to_cancel, max_minutes, max_days } = limits;
    // As in the API, 0 stands for what is usual.
    let usual = Limits::default();
    let or = |given: u32, otherwise: u32| if given == 0 { otherwise } else { given };
    let content = WorkflowContent {
        trigger,
        audience: audience.map(|rule| reading.rule("audience", rule, DEEPEST)),
        start,
        nodes: nodes.into_iter().map(|node| reading.node(node)).collect(),
        limits: Limits {
            max_offer_screens: or(max_offer_screens, usual.max_offer_screens),
            max_screens_to_cancel: or(max_screens_to_cancel, usual.max_screens_to_cancel),
            max_minutes: or(max_minutes, usual.max_minutes),
            max_days: or(max_days, usual.max_days),
        },
        reentry: reading.reentry(&reentry),
        hosted_template_id: hosted_template.map(|key| reading.template("hosted_template", key)),
        locales,
    };
    if reading.wrong.is_empty() { Ok((workflow, content)) } else { Err(reading.wrong) }
}

/// The keys of the templates a file names, before it is known whether there are such.
pub fn template_keys(text: &str) -> Vec<String> {
    let Ok(file) = serde_yaml_ng::from_str::<File>(text) else { return Vec::new() };
    let mut keys = Vec::from_iter(file.hosted_template);
    for node in file.nodes {
        keys.extend(node.step.map(|s| s.template));
        keys.extend(node.offer.map(|o| o.template));
        keys.extend(node.end.and_then(|e| e.template));
    }
    keys
}

fn to_mail(text: MailText) -> Mail {
    let MailText { subject, body, link, variables } = text;
    let variables = variables.into_iter().map(|VariableText { key, attribute, format, fallback }| {
        let attribute = if attribute.is_empty() { key.clone() } else { attribute };
        Variable { key, attribute, format, fallback }
    });
    Mail { subject, body, link, variables: variables.collect() }
}

struct Reading<'a> {
    id: &'a dyn Fn(&str) -> Option<String>,
    wrong: Vec<Wrong>,
}

impl Reading<'_> {
    fn template(&mut self, place: &str, key: String) -> String {
        match (self.id)(&key) {
            Some(id) => id,
            None => {
                let message = format!("there is no template with the key {key}");
                self.wrong.push(Wrong::new(place, "unknown_template", message));
                key
            }
        }
    }

    fn reentry(&mut self, text: &ReentryText) -> Reentry {
        match (text.policy, text.days) {
            (Policy::Never, None) => Reentry::Never,
            (Policy::Always, None) => Reentry::Always,
            (Policy::AfterDays, Some(days)) if days > 0 => Reentry::AfterDays(days),
            (Policy::AfterDays, _) => {
                self.wrong.push(Wrong::new("reentry.days", "required", "after how many days is required"));
                Reentry::Always
            }
            (_, Some(_)) => {
                let message = "only after_days has days";
                self.wrong.push(Wrong::new("reentry.days", "not_allowed", message));
                Reentry::Always
            }
        }
    }

    fn node(&mut self, text: NodeText) -> Node {
        let NodeText { id, name, step, condition, offer, end, action, split, wait, position } = text;
        let place = format!("nodes[{id}]");
        let mut kinds = Vec::new();
        if let Some(StepText { template, next }) = step {
            let template_id = self.template(&format!("{place}.step.template"), template);
            kinds.push(NodeKind::Step { template_id, next });
        }
        if let Some(ConditionText { branches, otherwise }) = condition {
            let mut read = Vec::new();
            for (i, BranchText { when, next }) in branches.into_iter().enumerate() {
                let when = self.rule(&format!("{place}.condition.branches[{i}].when"), when, DEEPEST);
                read.push(Branch { when, next });
            }
            kinds.push(NodeKind::Condition { branches: read, otherwise });
        }
        if let Some(OfferText { offers, template, accepted, declined, none }) = offer {
            let template_id = self.template(&format!("{place}.offer.template"), template);
            kinds.push(NodeKind::Offer { offer_ids: offers, template_id, accepted, declined, none });
        }
        if let Some(EndText { outcome, template }) = end {
            let template_id = template.map(|key| self.template(&format!("{place}.end.template"), key));
            kinds.push(NodeKind::End { outcome, template_id });
        }
        if let Some(ActionText { action, mail, tag, next }) = action {
            let tag = tag.map(|TagText { add, remove }| Tag { add, remove });
            kinds.push(NodeKind::Action(Action { action, mail: mail.map(to_mail), tag, next }));
        }
        if let Some(SplitText { experiment, arms, otherwise, weights }) = split {
            let (arms, weights) = (arms.into_iter().collect(), weights.into_iter().collect());
            kinds.push(NodeKind::Split(Split { experiment_id: experiment, arms, otherwise, weights }));
        }
        if let Some(WaitText { hours, event, next, late }) = wait {
            kinds.push(NodeKind::Wait(Wait { hours, event, next, late }));
        }
        if kinds.len() != 1 {
            let message = format!("a node does exactly one thing; this one does {}", kinds.len());
            self.wrong.push(Wrong::new(&place, "not_one_kind", message));
        }
        let nothing = NodeKind::End { outcome: EndOutcome::Canceled, template_id: None };
        let kind = kinds.pop().unwrap_or(nothing);
        Node { id, name, kind, position: position.map(|Position { x, y }| (x, y)) }
    }

    fn rule(&mut self, place: &str, text: RuleText, levels: usize) -> Rule {
        if levels == 0 {
            let message = format!("a rule is at most {DEEPEST} levels deep");
            self.wrong.push(Wrong::new(place, "too_deep", message));
            return Rule::Any(Vec::new());
        }
        let RuleText { all, any, not, persona, region, reason, fact, answer } = text;
        let mut cases = Vec::new();
        if let Some(rules) = all {
            cases.push(Rule::All(self.rules(&format!("{place}.all"), rules, levels)));
        }
        if let Some(rules) = any {
            cases.push(Rule::Any(self.rules(&format!("{place}.any"), rules, levels)));
        }
        if let Some(rule) = not {
            cases.push(Rule::Not(Box::new(self.rule(&format!("{place}.not"), *rule, levels - 1))));
        }
        cases.extend(persona.map(Rule::Persona));
        cases.extend(region.map(|code| Rule::Region(code.to_ascii_uppercase())));
        cases.extend(reason.map(Rule::Reason));
        if let Some(FactText { key, op, value }) = fact {
            self.fits(&format!("{place}.fact.value"), op, value.as_ref());
            cases.push(Rule::Fact { key, op, value });
        }
        if let Some(AnswerText { question, op, value }) = answer {
            self.fits(&format!("{place}.answer.value"), op, value.as_ref());
            cases.push(Rule::Answer { question, op, value });
        }
        if cases.len() != 1 {
            let message = format!("a rule has exactly one case; this one has {}", cases.len());
            self.wrong.push(Wrong::new(place, "not_one_case", message));
        }
        cases.pop().unwrap_or(Rule::Any(Vec::new()))
    }

    fn rules(&mut self, place: &str, rules: Vec<RuleText>, levels: usize) -> Vec<Rule> {
        let rules = rules.into_iter().enumerate();
        rules.map(|(i, rule)| self.rule(&format!("{place}[{i}]"), rule, levels - 1)).collect()
    }

    fn fits(&mut self, place: &str, op: Op, value: Option<&Value>) {
        if !op.fits(value) {
            self.wrong.push(Wrong::new(place, "wrong_type", "the value does not fit the operator"));
        }
    }
}
