//! Calls a provider makes to us.

use kit::Timestamp;

use super::snapshot::ExternalId;

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
