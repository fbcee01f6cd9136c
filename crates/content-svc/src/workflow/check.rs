//! Checks of a workflow against what it shows and offers: the pages are published, the offers can be had, and rules
//! look at questions that are asked.

use std::collections::HashMap;
use std::sync::Arc;

use super::graph;
use super::model::{NodeKind, WorkflowContent};
use crate::cards::{CardContent, CardKind};
use crate::offers::OfferFacts;
use crate::questionnaire::QuestionnaireContent;
use crate::rule::{Op, Rule, Value};
use crate::template::{TemplateContent, TemplateKind};
use crate::text::Findings;
use crate::versioned::{Frozen, Pin};

/// A published page with everything it pins.
#[derive(Clone, Debug)]
pub struct Page {
    pub pin: Pin,
    pub template: Arc<Frozen<TemplateContent>>,
    pub cards: Vec<Arc<Frozen<CardContent>>>,
    pub questionnaires: Vec<Arc<Frozen<QuestionnaireContent>>>,
}

/// Everything that stops publishing, and what a person should know. `pages` are the published ones of the templates it
/// names, by id; `offers` those that exist.
pub fn check(
    content: &WorkflowContent,
    pages: &HashMap<String, Page>,
    offers: &HashMap<String, OfferFacts>,
) -> Findings {
    let mut found = graph::check(content);
    let asked: Vec<&QuestionnaireContent> =
        pages.values().flat_map(|p| p.questionnaires.iter().map(|q| &q.content)).collect();
    if let Some(id) = &content.hosted_template_id {
        page("hosted_template_id", id, TemplateKind::HostedPage, content, pages, &mut found);
    }
    for node in &content.nodes {
        let field = format!("nodes[{}]", node.id);
        if let Some(id) = node.kind.template_id() {
            let field = format!("{field}.template_id");
            page(&field, id, TemplateKind::FlowPage, content, pages, &mut found);
        }
        match &node.kind {
            NodeKind::Condition { branches, .. } => {
                for (i, branch) in branches.iter().enumerate() {
                    answers(&format!("{field}.branches[{i}].when"), &branch.when, &asked, &mut found);
                }
            }
            NodeKind::Offer { offer_ids, template_id, .. } => {
                for id in offer_ids {
                    offer(&format!("{field}.offer_ids"), id, offers.get(id), &mut found);
                    let shows = |p: &Page| p.cards.iter().any(|c| shows_offer(&c.content, id));
                    if pages.get(template_id).is_some_and(|p| !shows(p)) {
                        let message = format!("no card of the page shows offer {id}");
                        found.error("offer_not_shown", format!("{field}.template_id"), message);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

fn shows_offer(card: &CardContent, offer: &str) -> bool {
    card.kind == CardKind::Offer && card.offer_id.as_deref().is_none_or(|id| id == offer)
}

fn page(
    field: &str,
    id: &str,
    kind: TemplateKind,
    content: &WorkflowContent,
    pages: &HashMap<String, Page>,
    found: &mut Findings,
) {
    let Some(page) = pages.get(id) else {
        return found.error("template_not_published", field, format!("template {id} is not published"));
    };
    if page.template.content.kind != kind {
        let message = format!("template {id} is no {}", kind.as_str());
        found.error("wrong_template_kind", field, message);
    }
    for locale in content.locales.iter().filter(|l| !page.template.content.locales.contains(l)) {
        found.warning("translation_missing", field, format!("template {id} is not there in {locale}"));
    }
}

fn offer(field: &str, id: &str, facts: Option<&OfferFacts>, found: &mut Findings) {
    match facts {
        None => found.error("offer_missing", field, format!("there is no offer {id}")),
        Some(facts) if !facts.active => {
            found.error("offer_not_active", field, format!("offer {id} is not active"));
        }
        Some(facts) if !facts.supported => {
            let message = format!("no connected provider can carry out a {}", facts.kind);
            found.error("offer_not_supported", field, message);
        }
        Some(_) => {}
    }
}

/// A rule may only look at questions and reasons the flow can hear of.
fn answers(field: &str, rule: &Rule, asked: &[&QuestionnaireContent], found: &mut Findings) {
    match rule {
        Rule::Answer { question, op, value } => {
            let Some(known) = asked.iter().find_map(|q| q.question(question)) else {
                let message = format!("no page of the flow asks {question}");
                return found.error("unknown_question", field, message);
            };
            if known.choices.is_empty() || *op == Op::Exists {
                return;
            }
            let named: Vec<&Value> = match value {
                Some(Value::List(values)) => values.iter().collect(),
                other => other.iter().collect(),
            };
            for value in named {
                if !matches!(value, Value::Text(key) if known.choice(key).is_some()) {
                    found.error("unknown_choice", field, format!("{question} has no such choice"));
                }
            }
        }
        Rule::Reason(category) => {
            let mut choices = asked.iter().flat_map(|q| q.questions.iter().flat_map(|q| &q.choices));
            if !choices.any(|c| c.reason_category.as_ref() == Some(category)) {
                let message = format!("no choice of the flow gives the reason {category}");
                found.error("unknown_reason", field, message);
            }
        }
        Rule::All(rules) | Rule::Any(rules) => {
            rules.iter().for_each(|r| answers(field, r, asked, found));
        }
        Rule::Not(rule) => answers(field, rule, asked, found),
        Rule::Persona(_) | Rule::Fact { .. } | Rule::Region(_) => {}
    }
}
