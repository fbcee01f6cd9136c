//! A page of one visit: which cards and pieces are seen, and every word filled in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::format::{fill, value};
use super::words::{direction, spoken, word};
use crate::card_elements::{Action, Element, Props};
use crate::cards::{CardContent, CardKind};
use crate::engine::{Answer, holds};
use crate::flow_session::{FlowSession, Pending, State};
use crate::questionnaire::{Question, QuestionType, QuestionnaireContent};
use crate::versioned::Frozen;
use crate::workflow::Page;

/// Everything a customer sees at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Screen {
    /// The language the page is in.
    pub locale: String,
    /// How it is written, for `dir`.
    pub direction: &'static str,
    pub title: String,
    pub notice: String,
    pub places: Vec<PlaceView>,
    pub offer: Option<OfferView>,
    pub can_cancel: bool,
    pub cancel_label: String,
    /// Where the offer that was taken leads; empty where nowhere.
    pub continue_url: String,
    pub continue_label: String,
    pub theme: BTreeMap<String, String>,
    /// The node it is the page of: what a form sends back, so that an old page changes nothing.
    pub node: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceView {
    pub name: String,
    pub cards: Vec<CardView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardView {
    pub id: String,
    pub kind: String,
    pub pieces: Vec<Piece>,
}

/// A piece with its words; which fields are used follows from the kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Piece {
    pub kind: &'static str,
    pub text: String,
    pub level: u32,
    pub action: &'static str,
    pub url: String,
    pub items: Vec<String>,
    pub ordered: bool,
    pub value: String,
    pub question: Option<QuestionView>,
    /// Of a picture, where it is known.
    pub width: u32,
    pub height: u32,
    pub srcset: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuestionView {
    pub key: String,
    pub kind: &'static str,
    pub text: String,
    pub help: String,
    pub required: bool,
    pub choices: Vec<ChoiceView>,
    pub scale_min: i32,
    pub scale_max: i32,
    pub min_length: u32,
    /// What was answered before, for `text`, `date` and `scale`.
    pub answered: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChoiceView {
    pub key: String,
    pub label: String,
    pub chosen: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfferView {
    pub id: String,
    pub kind: String,
    pub text: String,
    pub terms: String,
    pub terms_hash: String,
    /// What the customer is to agree to beside pressing the button; empty where that is enough.
    pub consent: String,
}

/// The page a visit stands at; `page` is what its workflow pins for the node, none for pages of ours. `seed` orders
/// shuffled choices: the same visit always sees the same order.
pub fn screen(session: &FlowSession, page: Option<&Page>, seed: &str) -> Screen {
    let own = match (session.state, &session.pending) {
        (_, Some(Pending::Cancel)) => Some("settling_cancel"),
        (_, Some(Pending::Accept(_))) => Some("settling_accept"),
        (State::Manual, _) => Some("manual"),
        _ if session.subject.is_leaving() => Some("leaving"),
        (State::Canceled, _) if page.is_none() => Some("canceled"),
        (State::Saved, _) if page.is_none() => Some("saved"),
        (State::Abandoned, _) if page.is_none() => Some("abandoned"),
        _ if page.is_none() => Some("plain"),
        _ => None,
    };
    let locale = session.locale.clone();
    let seen = Seen { session, seed };
    let offer = session.offer.as_ref().filter(|_| own.is_none()).map(|o| OfferView {
        id: o.offer_id.clone(),
        kind: o.kind.clone(),
        text: o.text.get(&locale).to_owned(),
        terms: o.terms_text.get(&locale).to_owned(),
        terms_hash: o.terms_hash.clone(),
        consent: if session.asks_for_consent() { word("consent", &locale).to_owned() } else { String::new() },
    });
    let written = written_in(&locale, page.filter(|_| own.is_none()));
    let (title, theme, places) = match (own, page) {
        (Some(own), _) => seen.own_page(own),
        (None, Some(page)) => seen.page(page),
        (None, None) => seen.own_page("plain"),
    };
    Screen {
        notice: session.notice.as_deref().map(|n| word(n, &locale).to_owned()).unwrap_or_default(),
        cancel_label: word("cancel_now", &locale).to_owned(),
        continue_url: session.continue_url.clone().filter(|_| own != Some("leaving")).unwrap_or_default(),
        continue_label: word("continue", &locale).to_owned(),
        can_cancel: session.can_cancel() && session.state != State::Saved,
        node: session.node.clone(),
        direction: direction(&written),
        locale: written,
        title,
        places,
        offer,
        theme,
    }
}

impl Screen {
    /// Puts the way to pictures that are not public yet into their addresses.
    pub fn let_look(&mut self, token: &str) {
        self.pictures(|url| format!("{url}?look={token}"));
    }

    /// Makes the addresses of our pictures whole: who draws the page elsewhere could not find them.
    pub fn from_elsewhere(&mut self, public_url: &str) {
        let home = public_url.trim_end_matches('/');
        self.pictures(|url| format!("{home}{url}"));
    }

    fn pictures(&mut self, change: impl Fn(&str) -> String) {
        let pieces = self.places.iter_mut().flat_map(|p| &mut p.cards).flat_map(|c| &mut c.pieces);
        for piece in pieces.filter(|p| p.kind == "image" && p.url.starts_with("/m/")) {
            piece.url = change(&piece.url);
            let sizes = piece.srcset.split(", ").filter_map(|size| size.split_once(' '));
            piece.srcset =
                sizes.map(|(url, width)| format!("{} {width}", change(url))).collect::<Vec<_>>().join(", ");
        }
    }
}

/// The language a page is in as a whole: its reader's where its title is there in it, else the title's own. Each text in
/// it, and every word of ours, is the reader's where it is there, for all that.
fn written_in(wanted: &str, page: Option<&Page>) -> String {
    let title = page.map(|p| &p.template.content.title).filter(|t| t.has_default());
    match title {
        Some(title) if !title.covers(wanted) => title.default_locale.clone(),
        Some(_) => wanted.to_owned(),
        None => spoken(wanted).to_owned(),
    }
}

struct Seen<'a> {
    session: &'a FlowSession,
    seed: &'a str,
}

impl Seen<'_> {
    fn locale(&self) -> &str {
        &self.session.locale
    }

    fn own_page(&self, name: &str) -> (String, BTreeMap<String, String>, Vec<PlaceView>) {
        let say = |what: &str| word(&format!("{name}_{what}"), self.locale()).to_owned();
        let mut pieces = vec![
            Piece { kind: "heading", text: say("title"), level: 2, ..Piece::default() },
            Piece { kind: "text", text: say("text"), ..Piece::default() },
        ];
        let button = |action: &'static str, key: &str| Piece {
            kind: "button",
            action,
            text: word(key, self.locale()).to_owned(),
            ..Piece::default()
        };
        if name == "plain" {
            pieces.push(button("cancel", "cancel_now"));
            pieces.push(button("close", "keep"));
        }
        let card = CardView { id: String::new(), kind: "confirm".into(), pieces };
        (say("title"), BTreeMap::new(), vec![PlaceView { name: "main".into(), cards: vec![card] }])
    }

    fn page(&self, page: &Page) -> (String, BTreeMap<String, String>, Vec<PlaceView>) {
        let content = &page.template.content;
        let facts = &self.session.known.facts;
        let title = fill(&content.title, self.locale(), &content.variables, facts);
        let places = content.places.iter().map(|place| {
            let cards = place.card_ids.iter().filter_map(|id| {
                let card = page.cards.iter().find(|c| c.object_id == *id)?;
                self.card(card, page)
            });
            PlaceView { name: place.name.clone(), cards: cards.collect() }
        });
        (title, content.theme.clone(), places.collect())
    }

    fn card(&self, frozen: &Frozen<CardContent>, page: &Page) -> Option<CardView> {
        let card = &frozen.content;
        let personas: BTreeSet<&String> = card.persona_ids.iter().collect();
        let for_them =
            personas.is_empty() || self.session.known.personas.iter().any(|p| personas.contains(p));
        let fits = card.kind != CardKind::Offer
            || self
                .session
                .offer
                .as_ref()
                .is_some_and(|on_table| card.offer_id.as_ref().is_none_or(|id| *id == on_table.offer_id));
        if !for_them || !fits {
            return None;
        }
        let asked = card.questionnaire_id.as_deref();
        let asked = asked.and_then(|id| page.questionnaires.iter().find(|q| q.object_id == id));
        let asked = asked.map(|q| &q.content);
        let visible = |e: &&Element| e.visible_if.as_ref().is_none_or(|r| holds(r, &self.session.known));
        let elements = card.elements.iter().filter(visible).map(Element::resolved).filter(visible);
        let pieces: Vec<Piece> = elements.flat_map(|e| self.pieces(e, card, asked)).collect();
        let kind = card.kind.as_str().to_owned();
        (!pieces.is_empty()).then_some(CardView { id: frozen.object_id.clone(), kind, pieces })
    }

    fn pieces(
        &self,
        element: &Element,
        card: &CardContent,
        asked: Option<&QuestionnaireContent>,
    ) -> Vec<Piece> {
        let facts = &self.session.known.facts;
        let say = |text: &kit::locale::LocalText| fill(text, self.locale(), &card.variables, facts);
        let maybe = |text: &Option<kit::locale::LocalText>, key: &str| {
            text.as_ref().map_or_else(|| word(key, self.locale()).to_owned(), say)
        };
        let piece = |kind| Piece { kind, ..Piece::default() };
        let one = match &element.props {
            Props::Heading { text, level } => Piece { text: say(text), level: *level, ..piece("heading") },
            Props::Text { text } => Piece { text: say(text), ..piece("text") },
            Props::Image { url, alt, media_id: _, picture } => Piece {
                url: url.clone(),
                text: alt.as_ref().map(say).unwrap_or_default(),
                width: picture.as_ref().map_or(0, |p| p.width),
                height: picture.as_ref().map_or(0, |p| p.height),
                srcset: picture.as_ref().map(|p| p.srcset(url)).unwrap_or_default(),
                ..piece("image")
            },
            Props::Button { label, action, url } => {
                Piece { text: say(label), action: act(*action), url: url.clone(), ..piece("button") }
            }
            Props::List { items, ordered } => {
                Piece { items: items.iter().map(say).collect(), ordered: *ordered, ..piece("list") }
            }
            Props::Divider {} => piece("divider"),
            Props::Countdown { label, until, attribute } => {
                let until = until.map(|t| crate::rule::Value::Text(t.to_string()));
                let at = until.as_ref().or_else(|| facts.get(attribute));
                let at = at.and_then(|v| value(v, crate::text::Format::Date, self.locale(), facts));
                let Some(at) = at else { return Vec::new() };
                Piece { text: say(label), value: at, ..piece("countdown") }
            }
            Props::UsageStat { attribute, format, label, fallback, min } => {
                let known = facts.get(attribute);
                let small =
                    matches!((known, min), (Some(crate::rule::Value::Number(n)), Some(min)) if n < min);
                let written = known.and_then(|v| value(v, *format, self.locale(), facts));
                let Some(written) = written.or_else(|| fallback.as_ref().map(say)).filter(|_| !small) else {
                    return Vec::new();
                };
                Piece { text: say(label), value: written, ..piece("usage_stat") }
            }
            Props::Testimonial { quote, author, role } => {
                let who = role.as_ref().map_or_else(|| author.clone(), |r| format!("{author}, {}", say(r)));
                Piece { text: say(quote), value: who, ..piece("testimonial") }
            }
            Props::OfferSlot { accept_label, decline_label } => {
                let Some(offer) = &self.session.offer else { return Vec::new() };
                Piece {
                    text: offer.text.get(self.locale()).to_owned(),
                    value: offer.terms_text.get(self.locale()).to_owned(),
                    items: vec![maybe(accept_label, "accept"), maybe(decline_label, "decline")],
                    ..piece("offer")
                }
            }
            Props::QuestionSlot { question } => {
                let questions = asked.iter().flat_map(|q| &q.questions);
                let shown = questions.filter(|q| question.is_empty() || q.key == *question);
                let shown =
                    shown.filter(|q| q.show_if.as_ref().is_none_or(|r| holds(r, &self.session.known)));
                return shown
                    .map(|q| Piece { question: Some(self.question(q)), ..piece("question") })
                    .collect();
            }
            Props::PlanCompare { plans } => {
                let line = |p: &crate::card_elements::PlanColumn| {
                    let features: Vec<String> = p.features.iter().map(say).collect();
                    let price = p.price.as_ref().map(|t| format!(" ({})", say(t))).unwrap_or_default();
                    format!("{}{price}: {}", say(&p.name), features.join(", "))
                };
                Piece { items: plans.iter().map(line).collect(), ..piece("plan_compare") }
            }
            // Sanitised again: the values filled in are not ours.
            Props::Html { html } => Piece { text: ammonia::clean(&say(html)), ..piece("html") },
            // A frozen card holds copies; what has none is not shown.
            Props::Element { .. } => return Vec::new(),
        };
        vec![one]
    }

    fn question(&self, question: &Question) -> QuestionView {
        let answer = self.session.known.answers.get(&question.key);
        let keys: &[String] = if let Some(Answer::Choices(keys)) = answer { keys } else { &[] };
        let shown = |c: &&crate::questionnaire::Choice| {
            c.show_if.as_ref().is_none_or(|r| holds(r, &self.session.known))
        };
        let mut choices: Vec<ChoiceView> = question
            .choices
            .iter()
            .filter(shown)
            .map(|c| ChoiceView {
                key: c.key.clone(),
                label: c.label.get(self.locale()).to_owned(),
                chosen: keys.contains(&c.key),
            })
            .collect();
        if question.shuffle
            && let Some((_last, others)) = choices.split_last_mut()
        {
            others.sort_by_cached_key(|c| scatter(self.seed, &c.key));
        }
        QuestionView {
            key: question.key.clone(),
            kind: kind(question.kind),
            text: question.text.get(self.locale()).to_owned(),
            help: question.help.as_ref().map(|h| h.get(self.locale()).to_owned()).unwrap_or_default(),
            required: question.required,
            choices,
            scale_min: question.scale_min,
            scale_max: question.scale_max,
            min_length: question.min_length,
            answered: match answer {
                Some(Answer::Text(text)) => text.clone(),
                Some(Answer::Scale(n)) => n.to_string(),
                _ => String::new(),
            },
        }
    }
}

/// An order that differs between visits and is the same within one (FNV-1a).
fn scatter(seed: &str, key: &str) -> u64 {
    let bytes = seed.bytes().chain(key.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, b| (hash ^ u64::from(b)).wrapping_mul(0x100_0000_01b3))
}

fn kind(kind: QuestionType) -> &'static str {
    match kind {
        QuestionType::Single => "single",
        QuestionType::Multi => "multi",
        QuestionType::Text => "text",
        QuestionType::Scale => "scale",
        QuestionType::Date => "date",
    }
}

fn act(action: Action) -> &'static str {
    match action {
        Action::Next => "next",
        Action::Accept => "accept",
        Action::Decline => "decline",
        Action::Cancel => "cancel",
        Action::Close => "close",
        Action::Link => "link",
    }
}
