//! A session and how it moves (§10.2).

use std::collections::BTreeMap;

use kit::locale::LocalText;
use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::durable::{Durability, Durable};
use crate::engine::{Answer, Decision, Known};
use crate::questionnaire::QuestionnaireContent;
use crate::region_rule::Applied;
use crate::text::Findings;
use crate::workflow_run::Errand;

/// §10.2; `settling` holds what is being carried out in `pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Created,
    Active,
    Settling,
    Saved,
    Canceled,
    Manual,
    Abandoned,
    Bounced,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Active => "active",
            Self::Settling => "settling",
            Self::Saved => "saved",
            Self::Canceled => "canceled",
            Self::Manual => "manual",
            Self::Abandoned => "abandoned",
            Self::Bounced => "bounced",
        }
    }

    /// Nothing comes after it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Saved | Self::Canceled | Self::Manual)
    }
}

/// The subscription when the visit began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    pub country: String,
    /// §10.1; empty where the biller did not answer.
    pub state: String,
    pub mrr: Option<Money>,
    /// Why we must not change it; empty when we may.
    pub hands_off: String,
}

impl Subject {
    /// Already on its way out, or gone.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state.as_str(), "non_renewing" | "ended")
    }
}

/// The published workflow a session is pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRef {
    pub id: String,
    pub number: u32,
    pub hash: String,
}

/// The offer a customer is looking at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnTable {
    pub offer_id: String,
    pub name: String,
    pub kind: String,
    pub redemption_id: String,
    /// What is shown is what is applied, or nothing is.
    pub terms_hash: String,
    pub text: LocalText,
    pub terms_text: LocalText,
    /// Where the customer goes on after taking it; empty where nowhere.
    #[serde(default)]
    pub url: String,
}

/// What has been decided and not yet been carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    Cancel,
    Accept(Box<OnTable>),
}

/// One page shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub node: String,
    pub at: Timestamp,
    /// The offer on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<ShownOffer>,
}

/// An offer as it stood on a page: which, and in which terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownOffer {
    pub offer_id: String,
    pub terms_hash: String,
    /// When the customer agreed to them by an act of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consented_at: Option<Timestamp>,
}

/// A questionnaire some of whose questions the customer answered. The answers themselves stand in what is known of the
/// customer, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub questionnaire_id: String,
    pub number: u32,
    pub hash: String,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
}

/// A decision with its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    pub at: Timestamp,
    pub decision: Decision,
}

/// A visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlowSession {
    pub customer_id: String,
    /// Whose it was before records were merged, the latest last: an undo gives it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_from: Vec<String>,
    pub subscription_id: String,
    /// The start tokens that led here; each leads once.
    pub starts: Vec<String>,
    pub subject: Subject,
    /// None: the plain way to cancel.
    pub flow: Option<FlowRef>,
    pub known: Known,
    pub locale: String,
    pub holdout: bool,
    pub max_discount_percent: u32,
    pub allowed_kinds: Vec<String>,
    pub state: State,
    /// One session per subscription is open.
    pub open: bool,
    /// The node whose page is shown; empty for pages of ours.
    pub node: String,
    pub offer: Option<OnTable>,
    pub pending: Option<Pending>,
    /// Something to tell the customer on the next page, by slug.
    pub notice: Option<String>,
    pub trail: Vec<Visit>,
    pub presented: Vec<String>,
    pub why: Vec<Noted>,
    pub redemption_id: Option<String>,
    pub taken_offer_id: Option<String>,
    /// Where the offer that was taken leads.
    #[serde(default)]
    pub continue_url: Option<String>,
    pub wished_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Whoever wished it could not show who they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// The rule of the region; none for visits from before there were rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Applied>,
    /// What was answered of which questionnaires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<Heard>,
    /// The arm drawn at each split.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arms: BTreeMap<String, String>,
    /// Actions the visit came by and that nobody was told of yet: they are, in the write that keeps the visit.
    #[serde(skip)]
    pub errands: Vec<Errand>,
    /// Whether the subscription holds after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<Durable>,
    /// Whose it was is erased: kept as evidence only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Hold>,
}

/// Why a visit is kept whose customer was erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The erasure.
    pub request_id: String,
    #[serde(with = "store::time")]
    pub until: Timestamp,
}

impl FlowSession {
    /// A visit that begins: nothing was shown yet.
    pub fn new(
        customer_id: String,
        subscription_id: String,
        subject: Subject,
        known: Known,
        locale: String,
        rule: Applied,
    ) -> Self {
        Self {
            customer_id,
            moved_from: Vec::new(),
            subscription_id,
            starts: Vec::new(),
            subject,
            flow: None,
            known,
            locale: if locale.is_empty() { "en".into() } else { locale },
            holdout: false,
            max_discount_percent: 0,
            allowed_kinds: Vec::new(),
            state: State::Created,
            open: true,
            node: String::new(),
            offer: None,
            pending: None,
            notice: None,
            trail: Vec::new(),
            presented: Vec::new(),
            why: Vec::new(),
            redemption_id: None,
            taken_offer_id: None,
            continue_url: None,
            wished_at: None,
            ended_at: None,
            unverified: false,
            rule: Some(rule),
            heard: Vec::new(),
            arms: BTreeMap::new(),
            errands: Vec::new(),
            durable: None,
            held: None,
        }
    }

    /// Notes why something was done.
    pub fn note(&mut self, at: Timestamp, decision: Decision) {
        self.why.push(Noted { at, decision });
    }

    /// The customer did something: the visit counts, and one that was taken for over goes on.
    pub fn touch(&mut self) {
        if matches!(self.state, State::Created | State::Bounced | State::Abandoned) {
            self.state = State::Active;
            self.open = true;
            self.ended_at = None;
            self.durable = None;
        }
    }

    /// Shows a page.
    pub fn show(&mut self, node: &str, at: Timestamp) {
        node.clone_into(&mut self.node);
        let offer = self.offer.as_ref().map(|o| ShownOffer {
            offer_id: o.offer_id.clone(),
            terms_hash: o.terms_hash.clone(),
            consented_at: None,
        });
        self.trail.push(Visit { node: node.to_owned(), at, offer });
    }

    /// Has an action done by a run of its own: nobody waits for it.
    pub fn ask_for(&mut self, node: &str, at: Timestamp) {
        let run_id = kit::id::new("wfr");
        self.note(at, Decision::new(node, "action_asked_for", format!("run {run_id} does it")));
        self.errands.push(Errand { run_id, node: node.to_owned() });
    }

    /// Records the wish to cancel, once, with its first time.
    pub fn wish(&mut self, at: Timestamp) {
        self.wished_at.get_or_insert(at);
        self.state = State::Settling;
        self.open = true;
        self.pending = Some(Pending::Cancel);
        self.ended_at = None;
        self.durable = None;
    }

    /// Ends the visit.
    pub fn end(&mut self, state: State, at: Timestamp) {
        self.state = state;
        self.open = false;
        self.offer = None;
        self.pending = None;
        self.ended_at = Some(at);
        self.durable = match state {
            // Nothing was decided, and nobody was there.
            State::Bounced => None,
            State::Canceled => Some(Durable::new(Durability::Lost, at)),
            _ => Some(Durable::new(Durability::Pending, at)),
        };
    }

    /// Whether the region asks for a consent beside the pressing of a button.
    pub fn asks_for_consent(&self) -> bool {
        self.rule.as_ref().is_some_and(|r| r.requirements.consent)
    }

    /// Notes the consent to the terms on the page.
    pub fn consent(&mut self, at: Timestamp) {
        let shown = self.trail.iter_mut().rev().find_map(|v| v.offer.as_mut());
        if let Some(shown) = shown {
            shown.consented_at.get_or_insert(at);
        }
    }

    /// The pages of the flow that were shown; the plain way to cancel is none.
    pub fn pages_shown(&self) -> u32 {
        let pages = self.trail.iter().filter(|v| !v.node.is_empty()).count();
        u32::try_from(pages).unwrap_or(u32::MAX)
    }

    /// Notes that questions of a questionnaire were answered.
    pub fn hear(&mut self, questionnaire_id: &str, number: u32, hash: &str, at: Timestamp) {
        match self.heard.iter_mut().find(|h| h.questionnaire_id == questionnaire_id) {
            Some(heard) => {
                heard.last_at = at;
                (heard.number, heard.hash) = (number, hash.to_owned());
            }
            None => self.heard.push(Heard {
                questionnaire_id: questionnaire_id.to_owned(),
                number,
                hash: hash.to_owned(),
                first_at: at,
                last_at: at,
            }),
        }
    }

    /// Whether the way to cancel is to be shown.
    pub fn can_cancel(&self) -> bool {
        let wished = matches!(self.pending, Some(Pending::Cancel));
        !matches!(self.state, State::Canceled | State::Manual) && !wished && !self.subject.is_leaving()
    }

    /// As evidence that a wish was heard and what was shown: when and what, the region's rule, the choices. Nothing that
    /// says who it was: no free words, nothing that was known of the customer.
    pub fn pseudonymised(&self, hold: Hold) -> Self {
        let mut left = self.clone();
        left.known.facts.clear();
        left.known.answers.retain(|_, answer| !matches!(answer, Answer::Text(_)));
        left.continue_url = None;
        left.held = Some(hold);
        left
    }

    /// Takes answers to questions of the page; nothing is taken when one is wrong.
    pub fn answer(
        &mut self,
        given: Vec<(String, Answer)>,
        asked: &[&QuestionnaireContent],
        shown: &[&str],
    ) -> Result<(), Findings> {
        self.known.hear(given, asked, shown)
    }
}
