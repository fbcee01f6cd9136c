//! What stands in the simulated provider's books, and how a provider says it.

use std::collections::BTreeMap;

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::news::News;
use crate::providers::{
    Act, CustomerSnapshot, Cut, Discount, ExternalId, Interval, PauseKind, PendingChange, Snapshot, State,
    Term, mrr,
};

/// The coupons of acts begin with this.
pub const OURS: &str = "retention-";

/// A customer in the books.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub external_id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub currency: Option<String>,
    pub locale: Option<String>,
    pub country: Option<String>,
    #[serde(with = "store::time")]
    pub since: Timestamp,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// A price in the books.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tariff {
    pub price_id: String,
    pub plan: String,
    pub name: String,
    pub amount: Money,
    pub interval: Interval,
    pub interval_count: u32,
}

/// A subscription in the books.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    pub external_id: String,
    pub customer: String,
    pub plan: String,
    pub price_id: String,
    pub price: Money,
    pub quantity: u32,
    pub interval: Interval,
    pub interval_count: u32,
    #[serde(with = "store::time")]
    pub started_at: Timestamp,
    /// Periods are counted from here, so that one begun on the 31st stays there.
    #[serde(with = "store::time")]
    pub anchor: Timestamp,
    #[serde(default, with = "store::time::option")]
    pub trial_end: Option<Timestamp>,
    /// The trial's end that was announced.
    #[serde(default, with = "store::time::option")]
    pub trial_told: Option<Timestamp>,
    #[serde(with = "store::time")]
    pub period_start: Timestamp,
    #[serde(with = "store::time")]
    pub period_end: Timestamp,
    #[serde(default, with = "store::time::option")]
    pub past_due_since: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub cancel_at: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub paused_at: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub resumes_at: Option<Timestamp>,
    /// The price from the next period on.
    #[serde(default)]
    pub next: Option<Tariff>,
    #[serde(default)]
    pub grants: Vec<Grant>,
    #[serde(default)]
    pub credits: Vec<Credit>,
    #[serde(default)]
    pub payment: Payment,
    /// Oldest first; as many as are remembered.
    #[serde(default)]
    pub invoices: Vec<Invoice>,
    #[serde(default)]
    pub reason: Option<String>,
    /// When time next changes something.
    #[serde(default, with = "store::time::option")]
    pub due_at: Option<Timestamp>,
    #[serde(default)]
    pub done: Vec<Done>,
    /// What happened since this was read, and is to be told.
    #[serde(skip)]
    pub news: Vec<News>,
}

/// How the customer's payments go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payment {
    #[default]
    Ok,
    Fails,
    FailsUntil(#[serde(with = "store::time")] Timestamp),
}

impl Payment {
    pub fn works_at(self, at: Timestamp) -> bool {
        match self {
            Self::Ok => true,
            Self::Fails => false,
            Self::FailsUntil(until) => at >= until,
        }
    }
}

/// A discount in the books.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    pub id: String,
    pub coupon: String,
    pub cut: Cut,
    pub term: Term,
    #[serde(with = "store::time")]
    pub start: Timestamp,
    #[serde(default, with = "store::time::option")]
    pub end: Option<Timestamp>,
}

/// Money for later invoices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credit {
    pub id: String,
    /// Under which it was given.
    pub key: String,
    pub amount: Money,
    /// What invoices took of it, in minor units.
    #[serde(default)]
    pub used: i64,
    #[serde(with = "store::time")]
    pub at: Timestamp,
}

/// What a period was charged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Invoice {
    pub id: String,
    /// After discounts.
    pub amount: Money,
    /// What of it was paid from credit, in minor units.
    #[serde(default)]
    pub credited: i64,
    #[serde(with = "store::time")]
    pub at: Timestamp,
    #[serde(default, with = "store::time::option")]
    pub paid_at: Option<Timestamp>,
    /// How often its payment was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried again.
    #[serde(default, with = "store::time::option")]
    pub retry_at: Option<Timestamp>,
    #[serde(default)]
    pub refunds: Vec<Refund>,
}

/// Money paid back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refund {
    pub id: String,
    /// Under which it was given.
    pub key: String,
    pub amount: Money,
    #[serde(with = "store::time")]
    pub at: Timestamp,
}

impl Invoice {
    pub fn new(id: String, amount: Money) -> Self {
        Self {
            id,
            amount,
            credited: 0,
            at: Timestamp::UNIX_EPOCH,
            paid_at: None,
            attempts: 0,
            retry_at: None,
            refunds: Vec::new(),
        }
    }

    pub fn is_open(&self) -> bool {
        self.paid_at.is_none()
    }

    /// What was paid in money and not paid back.
    pub fn left(&self) -> i64 {
        let back: i64 = self.refunds.iter().map(|r| r.amount.minor).sum();
        if self.is_open() { 0 } else { self.amount.minor - self.credited - back }
    }
}

/// An act that was carried out, so that its key acts once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub key: String,
    pub act: Act,
    #[serde(with = "store::time")]
    pub at: Timestamp,
    pub grant: Option<String>,
}

impl Contract {
    /// The state (§10.1). A cancellation that is set comes first: it is what was asked for last.
    pub fn state(&self) -> State {
        match self {
            Self { ended_at: Some(_), .. } => State::Ended,
            Self { cancel_at: Some(_), .. } => State::NonRenewing,
            Self { paused_at: Some(_), .. } => State::Paused,
            Self { past_due_since: Some(_), .. } => State::PastDue,
            Self { trial_end: Some(_), .. } => State::Trialing,
            _ => State::Active,
        }
    }

    /// What an act under this key gave that no subscription shows: a credit or a refund.
    pub fn given(&self, key: &str) -> Option<&str> {
        let credit = self.credits.iter().find(|c| c.key == key).map(|c| c.id.as_str());
        let refunds = || self.invoices.iter().flat_map(|i| &i.refunds);
        credit.or_else(|| refunds().find(|r| r.key == key).map(|r| r.id.as_str()))
    }

    /// The subscription as a provider says it.
    pub fn snapshot(&self, version: i64, at: Timestamp) -> Snapshot {
        let discounts: Vec<Discount> = self.grants.iter().map(Discount::from).collect();
        let (price, quantity, interval, interval_count) =
            (self.price, self.quantity, self.interval, self.interval_count);
        let state = self.state();
        let billing =
            mrr::Billing { state, price, quantity, interval, interval_count, discounts: &discounts };
        let pending = self.next.as_ref().map(|next| PendingChange {
            kind: "plan_switch".into(),
            price_id: Some(next.price_id.clone()),
            at: Some(self.period_end),
        });
        Snapshot {
            id: ExternalId::new(&self.external_id),
            customer: ExternalId::new(&self.customer),
            state,
            plan: self.plan.clone(),
            price_id: self.price_id.clone(),
            price,
            quantity,
            interval,
            interval_count,
            mrr: mrr::monthly(billing, at),
            started_at: self.started_at,
            trial_end: self.trial_end,
            period_start: Some(self.period_start),
            period_end: Some(self.period_end),
            cancel_at: self.cancel_at,
            ended_at: self.ended_at,
            paused_at: self.paused_at,
            resumes_at: self.resumes_at,
            pause_kind: self.paused_at.filter(|_| state != State::Ended).map(|_| PauseKind::Subscription),
            pending_change: pending,
            discounts,
            schedule_attached: false,
            item_count: 1,
            past_due_since: self.past_due_since,
            provider_version: version,
        }
    }
}

impl From<&Grant> for Discount {
    fn from(grant: &Grant) -> Self {
        let Grant { id, coupon, cut, term, start, end } = grant;
        Self {
            id: ExternalId::new(id),
            coupon: coupon.clone(),
            cut: *cut,
            term: *term,
            start: *start,
            end: *end,
            retention: coupon.starts_with(OURS),
        }
    }
}

impl Account {
    /// The customer as a provider says it.
    pub fn snapshot(&self, version: i64) -> CustomerSnapshot {
        let Self { external_id, email, name, currency, locale, country, since, attributes } = self.clone();
        CustomerSnapshot {
            id: ExternalId::new(external_id),
            email,
            name,
            currency,
            locale,
            country,
            created_at: since,
            deleted: false,
            metadata: attributes,
            provider_version: version,
        }
    }
}
