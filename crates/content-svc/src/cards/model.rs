//! A card, and what makes it fit to be shown.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::card_elements::{Action, Element, Props};
use crate::questionnaire::QuestionnaireContent;
use crate::text::{Findings, TextCheck, Variable};
use crate::versioned::Content;

/// What a card is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardKind {
    Value,
    Offer,
    Survey,
    Feedback,
    Contact,
    Confirm,
}

impl CardKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Offer => "offer",
            Self::Survey => "survey",
            Self::Feedback => "feedback",
            Self::Contact => "contact",
            Self::Confirm => "confirm",
        }
    }
}

/// Who may use a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardAccess {
    Private,
    Company,
    Library,
}

/// What a card has beside its versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardHead {
    pub access: CardAccess,
    pub tags: Vec<String>,
}

/// What is frozen when a card is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardContent {
    pub kind: CardKind,
    pub elements: Vec<Element>,
    /// Only for customers in one of these; empty: for everyone.
    pub persona_ids: Vec<String>,
    /// Only while this offer is on the table; none: for every offer.
    pub offer_id: Option<String>,
    pub questionnaire_id: Option<String>,
    pub variables: Vec<Variable>,
    pub locales: Vec<String>,
}

impl Content for CardContent {
    type Head = CardHead;
    const NOUN: &'static str = "card";
    const PREFIX: &'static str = "crd";
    const COLLECTION: &'static str = "cards";
    const VERSIONS: &'static str = "card_versions";
    const INDEXES: &'static [&'static [&'static str]] = &[&["body.head.tags", "_id"]];

    fn facet(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl CardContent {
    /// The ids of the kept pieces it holds.
    pub fn element_ids(&self) -> Vec<&str> {
        let refs = self.elements.iter().filter_map(|e| match &e.props {
            Props::Element { id, .. } => Some(id.as_str()),
            _ => None,
        });
        refs.collect()
    }

    /// Its pieces, kept ones as their frozen copies.
    pub fn pieces(&self) -> impl Iterator<Item = &Element> {
        self.elements.iter().map(Element::resolved)
    }

    /// Whether it has a place for an offer.
    pub fn has_offer_slot(&self) -> bool {
        self.pieces().any(|e| matches!(e.props, Props::OfferSlot { .. }))
    }

    /// Everything that stops publishing, and what a person should know. Kept pieces must have been copied in, and
    /// `questionnaire` is the published one it names.
    pub fn check(&self, questionnaire: Option<&QuestionnaireContent>) -> Findings {
        let mut texts = TextCheck::new(&self.locales, &self.variables);
        let mut found = Findings::default();
        if self.elements.is_empty() {
            found.error("no_elements", "elements", "a card shows at least one piece");
        }
        for (i, element) in self.elements.iter().enumerate() {
            element.texts(&format!("elements[{i}]"), &mut |field, text| texts.text(&field, text));
        }
        if self.kind == CardKind::Offer && !self.has_offer_slot() {
            found.error("offer_slot_missing", "elements", "an offer card has a place for the offer");
        }
        if self.kind != CardKind::Offer && (self.has_offer_slot() || self.offer_id.is_some()) {
            found.error("not_an_offer_card", "kind", "only an offer card names or shows an offer");
        }
        self.check_questions(questionnaire, &mut found);
        self.check_buttons(&mut found);
        found.extend(texts.findings);
        found
    }

    fn check_questions(&self, questionnaire: Option<&QuestionnaireContent>, found: &mut Findings) {
        let slots: Vec<&str> = self
            .pieces()
            .filter_map(|e| match &e.props {
                Props::QuestionSlot { question } => Some(question.as_str()),
                _ => None,
            })
            .collect();
        if self.questionnaire_id.is_none() {
            if matches!(self.kind, CardKind::Survey | CardKind::Feedback) {
                let message = "a survey or feedback card names a questionnaire";
                found.error("questionnaire_missing", "questionnaire_id", message);
            }
            if !slots.is_empty() {
                let message = "a place for a question needs a questionnaire";
                found.error("questionnaire_missing", "questionnaire_id", message);
            }
            return;
        }
        if slots.is_empty() {
            found.error("question_slot_missing", "elements", "the questionnaire has no place on the card");
        }
        let Some(questionnaire) = questionnaire else { return };
        for key in slots.iter().filter(|k| !k.is_empty()) {
            if questionnaire.question(key).is_none() {
                found.error("unknown_question", "elements", format!("the questionnaire does not ask {key}"));
            }
        }
        let shown: HashSet<&str> = slots.iter().copied().collect();
        if !shown.contains("") {
            let hidden =
                questionnaire.questions.iter().filter(|q| q.required && !shown.contains(q.key.as_str()));
            for q in hidden {
                let message = format!("{} is required and has no place on the card", q.key);
                found.warning("required_question_hidden", "elements", message);
            }
        }
    }

    fn check_buttons(&self, found: &mut Findings) {
        for (i, element) in self.elements.iter().enumerate() {
            if let Props::Button { action, url, .. } = &element.resolved().props {
                let field = format!("elements[{i}].button");
                if (*action == Action::Link) == url.is_empty() {
                    found.error("link_without_address", &field, "a link has an address, and only a link");
                }
                if matches!(action, Action::Accept | Action::Decline) && self.kind != CardKind::Offer {
                    found.error("not_an_offer_card", &field, "only an offer card answers an offer");
                }
            }
        }
    }
}
