//! The pieces a card is made of.

use std::collections::BTreeMap;

use kit::Timestamp;
use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::text::Format;

/// One piece of a card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Element {
    /// Names the piece within its card; may be empty.
    pub key: String,
    pub props: Props,
    pub visible_if: Option<Rule>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub style: BTreeMap<String, String>,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Props {
    Heading {
        text: LocalText,
        level: u32,
    },
    Text {
        text: LocalText,
    },
    Image {
        /// Where it lies; of a frozen one of the company's media, its address there.
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alt: Option<LocalText>,
        /// One of the company's media.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        media_id: Option<String>,
        /// What was frozen of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        picture: Option<Picture>,
    },
    Button {
        label: LocalText,
        action: Action,
        url: String,
    },
    List {
        items: Vec<LocalText>,
        ordered: bool,
    },
    Divider {},
    Countdown {
        label: LocalText,
        until: Option<Timestamp>,
        attribute: String,
    },
    UsageStat {
        attribute: String,
        format: Format,
        label: LocalText,
        fallback: Option<LocalText>,
        min: Option<f64>,
    },
    Testimonial {
        quote: LocalText,
        author: String,
        role: Option<LocalText>,
    },
    /// Where the offer stands, with its two buttons.
    OfferSlot {
        accept_label: Option<LocalText>,
        decline_label: Option<LocalText>,
    },
    /// Where a question stands; every question when the key is empty.
    QuestionSlot {
        question: String,
    },
    PlanCompare {
        plans: Vec<PlanColumn>,
    },
    /// Sanitised when it was saved.
    Html {
        html: LocalText,
    },
    /// A piece kept by itself; a frozen card holds a copy of it.
    Element {
        id: String,
        copy: Option<Box<Element>>,
    },
}

/// A picture of the company's media as it was when a card that shows it was frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    pub sizes: Vec<PictureSize>,
}

/// The same, smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureSize {
    pub url: String,
    pub width: u32,
}

impl Picture {
    /// As `srcset` has it, the whole one among them.
    pub fn srcset(&self, url: &str) -> String {
        if self.sizes.is_empty() {
            return String::new();
        }
        let sizes = self.sizes.iter().map(|s| format!("{} {}w", s.url, s.width));
        sizes.chain([format!("{url} {}w", self.width)]).collect::<Vec<_>>().join(", ")
    }
}

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Next,
    Accept,
    Decline,
    Cancel,
    Close,
    Link,
}

/// One plan beside others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanColumn {
    pub name: LocalText,
    pub price: Option<LocalText>,
    pub features: Vec<LocalText>,
    pub current: bool,
}

/// A piece kept by itself, so that many cards can hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CardElement {
    pub name: String,
    pub element: Element,
    pub archived: bool,
}

impl Element {
    /// The piece itself: of a kept piece, the copy that was frozen.
    pub fn resolved(&self) -> &Self {
        match &self.props {
            Props::Element { copy: Some(copy), .. } => copy,
            _ => self,
        }
    }

    /// What it is, to be changed: of a kept piece, the copy.
    pub fn resolved_mut(&mut self) -> &mut Props {
        match &mut self.props {
            Props::Element { copy: Some(copy), .. } => &mut copy.props,
            own => own,
        }
    }

    /// Every text in it, with its place.
    pub fn texts<'a>(&'a self, field: &str, visit: &mut dyn FnMut(String, &'a LocalText)) {
        let mut one = |name: &str, text: &'a LocalText| visit(format!("{field}.{name}"), text);
        match &self.props {
            Props::Heading { text, .. } => one("heading.text", text),
            Props::Text { text } => one("text.text", text),
            Props::Image { alt, .. } => alt.iter().for_each(|t| one("image.alt", t)),
            Props::Button { label, .. } => one("button.label", label),
            Props::List { items, .. } => {
                for (i, item) in items.iter().enumerate() {
                    one(&format!("list.items[{i}]"), item);
                }
            }
            Props::Divider {} | Props::QuestionSlot { .. } => {}
            Props::Countdown { label, .. } => one("countdown.label", label),
            Props::UsageStat { label, fallback, .. } => {
                one("usage_stat.label", label);
                fallback.iter().for_each(|t| one("usage_stat.fallback", t));
            }
            Props::Testimonial { quote, role, .. } => {
                one("testimonial.quote", quote);
                role.iter().for_each(|t| one("testimonial.role", t));
            }
            Props::OfferSlot { accept_label, decline_label } => {
                accept_label.iter().for_each(|t| one("offer_slot.accept_label", t));
                decline_label.iter().for_each(|t| one("offer_slot.decline_label", t));
            }
            Props::PlanCompare { plans } => {
                for (i, plan) in plans.iter().enumerate() {
                    one(&format!("plan_compare.plans[{i}].name"), &plan.name);
                    plan.price.iter().for_each(|t| one(&format!("plan_compare.plans[{i}].price"), t));
                    for (j, feature) in plan.features.iter().enumerate() {
                        one(&format!("plan_compare.plans[{i}].features[{j}]"), feature);
                    }
                }
            }
            Props::Html { html } => one("html.html", html),
            Props::Element { copy, .. } => {
                if let Some(copy) = copy {
                    copy.texts(&format!("{field}.element.copy"), visit);
                }
            }
        }
    }
}
