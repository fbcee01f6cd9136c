//! A received event and what becomes of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::providers::{ExternalId, Fact, FactKind, Heard, Owner, ProviderKind, Said};

/// `received → processed | ignored | failed → dead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Received,
    Processed,
    Ignored,
    Failed,
    Dead,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Received, Self::Processed, Self::Ignored, Self::Failed, Self::Dead];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processed => "processed",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }
}

/// What an event is about, as far as we act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    Customer,
    Subscription,
    PaymentFailed,
    PaymentSucceeded,
    Dispute,
    Refund,
    Nothing,
}

impl From<FactKind> for About {
    fn from(kind: FactKind) -> Self {
        match kind {
            FactKind::Customer => Self::Customer,
            FactKind::Subscription | FactKind::Invoice => Self::Subscription,
            FactKind::PaymentFailed => Self::PaymentFailed,
            FactKind::PaymentSucceeded => Self::PaymentSucceeded,
            FactKind::Dispute => Self::Dispute,
            FactKind::Refund => Self::Refund,
            FactKind::Catalog | FactKind::Other => Self::Nothing,
        }
    }
}

/// The bytes as they came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raw {
    Text(String),
    Base64(String),
}

impl Raw {
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }
}

/// A received event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    pub provider: ProviderKind,
    pub external_id: String,
    /// The provider's own name of it.
    pub name: String,
    pub about: About,
    pub subscription: Option<String>,
    pub customer: Option<String>,
    pub provider_version: i64,
    pub state: State,
    pub attempts: u32,
    pub error: String,
    #[serde(with = "store::time")]
    pub occurred_at: Timestamp,
    #[serde(with = "store::time")]
    pub received_at: Timestamp,
    #[serde(with = "store::time::option", default)]
    pub processed_at: Option<Timestamp>,
    /// When it is to be worked on.
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
    pub headers: BTreeMap<String, String>,
    pub raw: Raw,
    /// What was refunded or is disputed.
    #[serde(default)]
    pub amount: Option<Money>,
    /// The provider's id of the invoice it is about.
    #[serde(default)]
    pub invoice: Option<String>,
    /// The provider's id of the payment it is about.
    #[serde(default)]
    pub payment: Option<String>,
    /// Written in another version of the provider's API than the one we pin.
    #[serde(default)]
    pub odd_version: Option<String>,
    /// It never arrived: we asked for it.
    #[serde(default)]
    pub fetched: bool,
}

/// After how many failures an event is given up. With the growing waits this is about a day.
const PATIENCE: u32 = 14;

impl Event {
    pub fn received(
        provider: ProviderKind,
        fact: Fact,
        headers: BTreeMap<String, String>,
        raw: Raw,
        at: Timestamp,
    ) -> Self {
        let Fact { id, kind, name, customer, subscription, occurred_at, provider_version, live: _, said } =
            fact;
        let Said { amount, invoice, payment, odd_version } = said;
        let about = About::from(kind);
        let nothing = about == About::Nothing;
        Self {
            provider,
            external_id: id,
            name,
            about,
            subscription: subscription.map(|s| s.as_str().to_owned()),
            customer: customer.map(|c| c.as_str().to_owned()),
            provider_version,
            state: if nothing { State::Ignored } else { State::Received },
            attempts: 0,
            error: String::new(),
            occurred_at: kit::clock::millis(occurred_at),
            received_at: at,
            processed_at: nothing.then_some(at),
            due_at: at,
            headers,
            raw,
            amount,
            invoice: invoice.map(|i| i.as_str().to_owned()),
            payment: payment.map(|p| p.as_str().to_owned()),
            odd_version,
            fetched: false,
        }
    }

    /// One that a provider of this house told without a call.
    pub fn told(provider: ProviderKind, heard: Heard, at: Timestamp) -> Self {
        let Heard { fact, raw } = heard;
        Self::received(provider, fact, BTreeMap::new(), Raw::of(raw.as_bytes()), at)
    }

    /// One that we asked for, as it never arrived.
    pub fn fetched(provider: ProviderKind, heard: Heard, at: Timestamp) -> Self {
        Self { fetched: true, ..Self::told(provider, heard, at) }
    }

    /// Whether others are to hear of money that went back, or may.
    pub fn tells_of_money(&self) -> bool {
        matches!(self.about, About::Refund | About::Dispute) && self.amount.is_some()
    }

    /// What it is about, by the provider's id: events of one subject are worked on in order.
    pub fn subject(&self) -> &str {
        self.subscription.as_deref().or(self.customer.as_deref()).unwrap_or(&self.external_id)
    }

    /// What the call told.
    pub fn fact(&self) -> Fact {
        let kind = match self.about {
            About::Customer => FactKind::Customer,
            About::Subscription => FactKind::Subscription,
            About::PaymentFailed => FactKind::PaymentFailed,
            About::PaymentSucceeded => FactKind::PaymentSucceeded,
            About::Dispute => FactKind::Dispute,
            About::Refund => FactKind::Refund,
            About::Nothing => FactKind::Other,
        };
        Fact {
            id: self.external_id.clone(),
            kind,
            name: self.name.clone(),
            customer: self.customer.clone().map(ExternalId::from),
            subscription: self.subscription.clone().map(ExternalId::from),
            occurred_at: self.occurred_at,
            provider_version: self.provider_version,
            live: None,
            said: Said { payment: self.payment.clone().map(ExternalId::from), ..Said::default() },
        }
    }

    /// Whether it tells of money and names nobody: the provider is asked whose the payment is.
    pub fn names_nobody(&self) -> bool {
        self.tells_of_money() && self.customer.is_none() && self.subscription.is_none()
    }

    /// The same, of somebody.
    pub fn of(&self, owner: Owner) -> Self {
        let Owner { customer, subscription } = owner;
        let id = |id: ExternalId| id.as_str().to_owned();
        Self { customer: Some(id(customer)), subscription: subscription.map(id), ..self.clone() }
    }

    /// Whether it says more than that the subscription changed.
    pub fn is_news(&self) -> bool {
        matches!(self.about, About::PaymentFailed | About::PaymentSucceeded | About::Dispute)
    }

    pub fn done(&self, state: State, now: Timestamp) -> Self {
        Self {
            state,
            attempts: self.attempts + 1,
            error: String::new(),
            processed_at: Some(now),
            ..self.clone()
        }
    }

    /// Without what the call carried: it is about somebody who was erased.
    pub fn emptied(&self) -> Self {
        Self { headers: BTreeMap::new(), raw: Raw::Text(String::new()), ..self.clone() }
    }

    /// After a failure: tried again later, each time later, or given up.
    pub fn failed(&self, error: &str, passing: bool, now: Timestamp) -> Self {
        let attempts = self.attempts + 1;
        let dead = attempts >= PATIENCE || (!passing && attempts >= 3);
        let wait = jiff::SignedDuration::from_secs(2_i64.pow(attempts.min(13)));
        Self {
            state: if dead { State::Dead } else { State::Failed },
            attempts,
            error: error.to_owned(),
            due_at: now.checked_add(wait).unwrap_or(now),
            ..self.clone()
        }
    }

    /// To be worked on again, whatever became of it.
    pub fn again(&self, now: Timestamp) -> Self {
        Self { state: State::Received, attempts: 0, error: String::new(), due_at: now, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn fact(kind: FactKind) -> Fact {
        Fact {
            id: "evt_1".into(),
            kind,
            name: "x".into(),
            customer: None,
            subscription: Some("sub_1".into()),
            occurred_at: at(1),
            provider_version: 1,
            live: None,
            said: Said::default(),
        }
    }

    fn event(kind: FactKind) -> Event {
        Event::received(ProviderKind::Stripe, fact(kind), BTreeMap::new(), Raw::of(b"{}"), at(2))
    }

    #[test]
    fn what_does_not_concern_us_is_ignored_at_once() {
        assert_eq!(event(FactKind::Catalog).state, State::Ignored);
        assert_eq!(event(FactKind::Subscription).state, State::Received);
        assert_eq!(Raw::of(&[0xff, 0]), Raw::Base64("/wA=".into()));
    }

    #[test]
    fn an_event_is_given_up_late_and_can_be_tried_again() {
        let mut e = event(FactKind::PaymentFailed);
        for n in 1..PATIENCE {
            let next = e.failed("down", true, at(100));
            assert!(next.state == State::Failed && next.due_at >= e.due_at && next.attempts == n);
            e = next;
        }
        let dead = e.failed("down", true, at(100));
        assert_eq!(dead.state, State::Dead);
        assert_eq!((dead.again(at(200)).state, dead.again(at(200)).attempts), (State::Received, 0));
    }
}
