//! What stands at a provider, in our words.

use std::collections::BTreeMap;
use std::fmt;

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::act::{Cut, Term};

/// A provider's own id of something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExternalId(String);

impl ExternalId {
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ExternalId {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for ExternalId {
    fn from(id: String) -> Self {
        Self(id)
    }
}

/// The state of a subscription (§10.1). `unknown` is said by the mirror, never by a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Pending,
    Trialing,
    Active,
    PastDue,
    Paused,
    NonRenewing,
    Ended,
}

/// How often a price is charged, before `interval_count`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Day,
    Week,
    Month,
    Year,
}

/// What a pause stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseKind {
    /// The subscription itself: no periods, no invoices.
    Subscription,
    /// Only the collecting of money; the subscription runs on.
    Collection,
}

impl PauseKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Collection => "collection",
        }
    }
}

/// A change that is agreed and waits for its day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChange {
    /// Such as `plan_switch`.
    pub kind: String,
    /// The price it will be, where it is a plan switch and the provider says which.
    pub price_id: Option<String>,
    pub at: Option<Timestamp>,
}

/// A discount on a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discount {
    pub id: ExternalId,
    /// The coupon it came from.
    pub coupon: String,
    pub cut: Cut,
    pub term: Term,
    pub start: Timestamp,
    /// None where it has no end, and for one that holds for the next invoice only.
    pub end: Option<Timestamp>,
    /// Put there by an act of ours.
    pub retention: bool,
}

impl Discount {
    /// Whether it still cuts an invoice written at `at`.
    pub fn runs_at(&self, at: Timestamp) -> bool {
        self.end.is_none_or(|end| end > at)
    }
}

/// A subscription as it stands at the provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: ExternalId,
    pub customer: ExternalId,
    pub state: State,
    /// The provider's plan or product.
    pub plan: String,
    pub price_id: String,
    /// Per interval and unit.
    pub price: Money,
    pub quantity: u32,
    pub interval: Interval,
    pub interval_count: u32,
    /// Monthly recurring revenue after running discounts; see [`super::mrr`].
    pub mrr: Money,
    pub started_at: Timestamp,
    pub trial_end: Option<Timestamp>,
    pub period_start: Option<Timestamp>,
    pub period_end: Option<Timestamp>,
    /// When it ends or ended by a cancellation that is set.
    pub cancel_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub paused_at: Option<Timestamp>,
    pub resumes_at: Option<Timestamp>,
    pub pause_kind: Option<PauseKind>,
    pub pending_change: Option<PendingChange>,
    pub discounts: Vec<Discount>,
    /// Something at the provider steers it; changes of ours would collide.
    pub schedule_attached: bool,
    pub item_count: u32,
    pub past_due_since: Option<Timestamp>,
    /// Rises with every change. A snapshot with a smaller one than the mirror's is older and is ignored.
    pub provider_version: i64,
}

/// A customer as it stands at the provider. Names and addresses are personal: never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerSnapshot {
    pub id: ExternalId,
    pub email: Option<String>,
    pub name: Option<String>,
    /// ISO 4217 as the provider says it, upper case.
    pub currency: Option<String>,
    pub locale: Option<String>,
    /// ISO 3166, upper case.
    pub country: Option<String>,
    pub created_at: Timestamp,
    /// Deleted at the provider.
    pub deleted: bool,
    /// What the company noted there: its own ids, attributes.
    pub metadata: BTreeMap<String, String>,
    pub provider_version: i64,
}

impl fmt::Debug for CustomerSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomerSnapshot").field("id", &self.id).finish_non_exhaustive()
    }
}
