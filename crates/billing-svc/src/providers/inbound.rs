//! Calls a provider makes to us.

use kit::{Money, Timestamp};

use super::snapshot::ExternalId;
use super::{Change, ChangePage, Cursor};

/// A call as it came, before anybody believes it.
#[derive(Clone, Copy)]
pub struct InboundCall<'a> {
    pub headers: &'a [(String, String)],
    /// The bytes as they came: signatures cover these and no re-serialised form.
    pub body: &'a [u8],
    pub now: Timestamp,
}

impl<'a> InboundCall<'a> {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Something happened at the provider. It says where to look; what is there now is read from the provider, as events
/// come late, twice and out of order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// The provider's id of the event: the same id is the same event.
    pub id: String,
    pub kind: FactKind,
    /// The provider's own name of it (`customer.subscription.updated`).
    pub name: String,
    pub customer: Option<ExternalId>,
    pub subscription: Option<ExternalId>,
    pub occurred_at: Timestamp,
    /// Comparable with a snapshot's: a mirror that is newer already knows this fact.
    pub provider_version: i64,
    /// Whether it is about real money; none where the provider does not say.
    pub live: Option<bool>,
    /// What it says beside that.
    pub said: Said,
}

/// What an event says beside where to look, as far as the provider does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What was refunded or is disputed; in one event of each refund or dispute only, however many tell of it.
    pub amount: Option<Money>,
    /// The provider's id of the invoice it is about.
    pub invoice: Option<ExternalId>,
    /// The provider's id of the payment that was refunded or is disputed.
    pub payment: Option<ExternalId>,
    /// The version of the API it was written in, where that is not the one we pin. It is worked on all the same, as what
    /// holds is read from the provider; but somebody should know.
    pub odd_version: Option<String>,
}

/// Whose a payment is, and which subscription it was for, where it was for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub customer: ExternalId,
    pub subscription: Option<ExternalId>,
}

/// Some of what a provider has to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    pub events: Vec<Heard>,
    /// Where the next page begins.
    pub next: Cursor,
    /// Nothing more for now: `next` is where a later look starts.
    pub done: bool,
}

/// One event, as a webhook would have told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub fact: Fact,
    /// The body the webhook would have had; empty where the provider keeps no events.
    pub raw: String,
}

impl EventPage {
    /// For providers that keep no events: what changed, as one event for each thing and version of it. Its id follows
    /// from both, so that the same change read twice is one event.
    pub fn of_changes(page: ChangePage, at: Timestamp) -> Self {
        let ChangePage { changes, next, done } = page;
        let fact =
            |name: &str, kind, customer: &ExternalId, subscription: Option<&ExternalId>, version: i64| {
                let subject = subscription.unwrap_or(customer);
                Heard {
                    fact: Fact {
                        id: format!("{name}:{subject}:{version}"),
                        kind,
                        name: name.to_owned(),
                        customer: Some(customer.clone()),
                        subscription: subscription.cloned(),
                        occurred_at: at,
                        provider_version: version,
                        live: None,
                        said: Said::default(),
                    },
                    raw: String::new(),
                }
            };
        let events = changes.iter().map(|change| match change {
            Change::Customer(c) => fact("customer.read", FactKind::Customer, &c.id, None, c.provider_version),
            Change::Subscription(s) => {
                let kind = FactKind::Subscription;
                fact("subscription.read", kind, &s.customer, Some(&s.id), s.provider_version)
            }
        });
        Self { events: events.collect(), next, done }
    }
}

/// What a fact is about, as far as we act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactKind {
    Customer,
    Subscription,
    Invoice,
    PaymentFailed,
    PaymentSucceeded,
    Refund,
    Dispute,
    Catalog,
    /// Nothing we act on.
    Other,
}

impl FactKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Subscription => "subscription",
            Self::Invoice => "invoice",
            Self::PaymentFailed => "payment_failed",
            Self::PaymentSucceeded => "payment_succeeded",
            Self::Refund => "refund",
            Self::Dispute => "dispute",
            Self::Catalog => "catalog",
            Self::Other => "other",
        }
    }
}

/// Why a call is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the call is not signed as it should be: {0}")]
    Signature(#[from] connect::sign::Refused),
    /// Of a kind that is never signed.
    #[error("{0}")]
    Unsigned(&'static str),
    #[error("the call is signed, but says nothing we can read: {0}")]
    Unreadable(String),
    /// Test data at a live endpoint, or the other way round.
    #[error("the call is about the other mode")]
    OtherMode,
}
