//! A page as a whole, and what makes it fit to be shown.

use std::collections::{BTreeMap, HashSet};

use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use crate::cards::CardContent;
use crate::text::{Findings, TextCheck, Variable};
use crate::versioned::Content;

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateKind {
    /// One page of a flow.
    FlowPage,
    /// The frame around a flow where we host it.
    HostedPage,
    Email,
    SlackMessage,
    TicketNote,
}

impl TemplateKind {
    /// Whether it can be made yet.
    pub fn is_supported(self) -> bool {
        matches!(self, Self::FlowPage | Self::HostedPage)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::FlowPage => "flow_page",
            Self::HostedPage => "hosted_page",
            Self::Email => "email",
            Self::SlackMessage => "slack_message",
            Self::TicketNote => "ticket_note",
        }
    }
}

/// How the places of a page lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    Single,
    Split,
}

impl Layout {
    /// The places it has.
    pub fn places(self) -> &'static [&'static str] {
        match self {
            Self::Single => &["header", "main", "footer"],
            Self::Split => &["header", "main", "side", "footer"],
        }
    }
}

/// A named place and the cards in it, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub name: String,
    pub card_ids: Vec<String>,
}

/// What a template has beside its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateHead {
    /// Unique in the company and mode.
    pub key: String,
}

/// What is frozen when a template is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TemplateContent {
    pub kind: TemplateKind,
    pub layout: Layout,
    pub title: LocalText,
    pub theme: BTreeMap<String, String>,
    pub places: Vec<Place>,
    pub variables: Vec<Variable>,
    pub locales: Vec<String>,
}

impl Content for TemplateContent {
    type Head = TemplateHead;
    const NOUN: &'static str = "template";
    const PREFIX: &'static str = "tpl";
    const COLLECTION: &'static str = "templates";
    const VERSIONS: &'static str = "template_versions";
    const UNIQUE: &'static [&'static [&'static str]] = &[&["body.head.key"]];

    fn facet(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl TemplateContent {
    /// The cards it holds, in order, without repeats.
    pub fn card_ids(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let all = self.places.iter().flat_map(|p| p.card_ids.iter().map(String::as_str));
        all.filter(|id| seen.insert(*id)).collect()
    }

    /// Everything that stops publishing, and what a person should know. `card` gives the published content of a card,
    /// or nothing when it has none.
    pub fn check<'c>(&self, card: impl Fn(&str) -> Option<&'c CardContent>) -> Findings {
        let mut texts = TextCheck::new(&self.locales, &self.variables);
        texts.text("title", &self.title);
        let mut found = Findings::default();
        let mut names = HashSet::new();
        let mut held = HashSet::new();
        for place in &self.places {
            let field = format!("places[{}]", place.name);
            if !names.insert(place.name.as_str()) {
                found.error("duplicate_place", &field, format!("{} stands there twice", place.name));
            }
            if !self.layout.places().contains(&place.name.as_str()) {
                found.error("unknown_place", &field, format!("the layout has no place {}", place.name));
            }
            for id in &place.card_ids {
                if !held.insert(id.as_str()) {
                    found.error("duplicate_card", &field, format!("card {id} stands there twice"));
                }
                match card(id) {
                    None => found.error("card_not_published", &field, format!("card {id} is not published")),
                    Some(card) => self.check_languages(&field, id, card, &mut found),
                }
            }
        }
        if self.kind == TemplateKind::FlowPage && held.is_empty() {
            found.error("no_cards", "places", "a page of a flow holds at least one card");
        }
        found.extend(texts.findings);
        found
    }

    fn check_languages(&self, field: &str, id: &str, card: &CardContent, found: &mut Findings) {
        for locale in &self.locales {
            let missing = card.elements.iter().any(|e| {
                let mut missing = false;
                e.texts("", &mut |_, text| missing |= !text.covers(locale));
                missing
            });
            if missing {
                found.warning("translation_missing", field, format!("card {id} lacks texts for {locale}"));
            }
        }
    }
}
