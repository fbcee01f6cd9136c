//! Where a piece of content, an offer or a persona is used, in working copies and in what is published.

use std::collections::BTreeSet;

use kit::Caller;

use super::model::{NodeKind, WorkflowContent};
use super::ops::Workflows;
use crate::cards::CardContent;
use crate::error::Error;
use crate::rule::Rule;
use crate::template::TemplateContent;
use crate::versioned::{Content, StoredObject, Which};

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    Template,
    Card,
    Questionnaire,
    Offer,
    Persona,
}

/// A place in which it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub kind: &'static str,
    pub id: String,
    pub name: String,
    pub draft: bool,
    pub published: bool,
    pub places: Vec<String>,
}

impl Workflows {
    /// Everything that uses it.
    pub async fn uses(&self, caller: &Caller, what: Used, id: &str) -> Result<Vec<Use>, Error> {
        let scope = caller.scope()?;
        let mut found = Vec::new();
        match what {
            Used::Template => {
                self.templates.objects.get(caller, id, Which::Working).await?;
            }
            Used::Card => {
                self.cards.objects.get(caller, id, Which::Working).await?;
                for template in self.templates.objects.holding(scope, "places.card_ids", id).await? {
                    found.extend(using(&template, |content| places(content, id)));
                }
                return Ok(found);
            }
            Used::Questionnaire => {
                self.questionnaires.objects.get(caller, id, Which::Working).await?;
                for card in self.cards.objects.holding(scope, "questionnaire_id", id).await? {
                    found
                        .extend(using(&card, |c| (c.questionnaire_id.as_deref() == Some(id)).then(Vec::new)));
                }
                return Ok(found);
            }
            Used::Offer => {
                for card in self.cards.objects.holding(scope, "offer_id", id).await? {
                    found.extend(using(&card, |c| (c.offer_id.as_deref() == Some(id)).then(Vec::new)));
                }
            }
            Used::Persona => {
                for card in self.cards.objects.all(scope).await? {
                    found.extend(using(&card, |content| aimed_at(content, id).then(Vec::new)));
                }
            }
        }
        for workflow in self.objects.all(scope).await? {
            found.extend(using(&workflow, |content| nodes(content, what, id)));
        }
        Ok(found)
    }
}

/// An object that uses something: `look` says where a content does.
fn using<C: Content>(object: &StoredObject<C>, look: impl Fn(&C) -> Option<Vec<String>>) -> Option<Use> {
    if object.body.archived {
        return None;
    }
    let draft = object.body.draft.as_ref().and_then(|d| look(&d.content));
    let live = object.body.live.as_ref().and_then(|l| look(&l.content));
    // Without a draft the working copy is what is published.
    let in_draft = draft.is_some() || object.body.draft.is_none() && live.is_some();
    let published = live.is_some();
    let mut places: Vec<String> = draft.into_iter().chain(live).flatten().collect();
    places.sort();
    places.dedup();
    (in_draft || published).then(|| Use {
        kind: C::NOUN,
        id: object.id.clone(),
        name: object.body.name.clone(),
        draft: in_draft,
        published,
        places,
    })
}

fn places(content: &TemplateContent, card: &str) -> Option<Vec<String>> {
    let held = content.places.iter().filter(|p| p.card_ids.iter().any(|id| id == card));
    let names: Vec<String> = held.map(|p| p.name.clone()).collect();
    (!names.is_empty()).then_some(names)
}

fn aimed_at(card: &CardContent, persona: &str) -> bool {
    let shown = card.elements.iter().flat_map(|e| [e.visible_if.as_ref(), e.resolved().visible_if.as_ref()]);
    card.persona_ids.iter().any(|id| id == persona) || shown.flatten().any(|rule| asks(rule, persona))
}

fn asks(rule: &Rule, persona: &str) -> bool {
    rule.personas().contains(&persona)
}

fn nodes(content: &WorkflowContent, what: Used, id: &str) -> Option<Vec<String>> {
    let mut at = BTreeSet::new();
    if what == Used::Template && content.hosted_template_id.as_deref() == Some(id) {
        at.insert("hosted_template_id".to_owned());
    }
    if what == Used::Persona && content.audience.as_ref().is_some_and(|rule| asks(rule, id)) {
        at.insert("audience".to_owned());
    }
    for node in &content.nodes {
        let here = match (what, &node.kind) {
            (Used::Template, kind) => kind.template_id() == Some(id),
            (Used::Offer, NodeKind::Offer { offer_ids, .. }) => offer_ids.iter().any(|o| o == id),
            (Used::Persona, NodeKind::Condition { branches, .. }) => {
                branches.iter().any(|b| asks(&b.when, id))
            }
            _ => false,
        };
        if here {
            at.insert(format!("nodes[{}]", node.id));
        }
    }
    let at: Vec<String> = at.into_iter().collect();
    (!at.is_empty()).then_some(at)
}
