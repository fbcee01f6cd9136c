//! What we ask a provider to do.

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::snapshot::ExternalId;

/// One change of a subscription. Every instant is fixed by who asks: a second try with the same key must say the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Act {
    /// Adds a discount, keeping those named.
    Discount { cut: Cut, term: Term, keep: Keep },
    /// Takes one discount away and keeps the others. One that is not there is no error.
    RemoveDiscount { discount: ExternalId },
    /// Stops billing for a while. `months` is for providers that count cycles, `resumes_at` for those that take a date.
    Pause { months: u32, resumes_at: Timestamp },
    /// Ends a pause now, whichever kind it is. One that is not paused is no error.
    Resume,
    /// Moves to another price.
    SwitchPlan { price_id: String, at: SwitchAt },
    /// Puts the end of the trial off. An end in the past ends it now.
    ExtendTrial { until: Timestamp },
    /// Puts the next invoice off, for nothing.
    ExtendTerm { until: Timestamp },
    /// Gives money that later invoices are paid from. It shows in no subscription: see [`super::Provider::given`].
    Credit { amount: Money },
    /// Takes a credit away again, also where the subscription has ended: it is the customer's.
    TakeCredit { credit: ExternalId, amount: Money },
    /// Pays back part of the newest paid invoice that was paid not before an instant, at most what is left of it. Where
    /// there is none, or less is left, it is refused as `nothing_to_refund`. It shows in no subscription: see
    /// [`super::Provider::given`].
    Refund { amount: Money, not_before: Timestamp },
    /// Ends at the close of the paid period. `feedback` is the customer's reason as the provider files it.
    CancelAtPeriodEnd { feedback: Option<String> },
    /// Takes a cancellation at period end back. One that is not set is no error.
    UndoCancel,
    /// Ends at once; nothing is paid back, and nothing takes it back. One that has ended is no error.
    CancelNow { feedback: Option<String> },
}

impl Act {
    /// A stable slug, for logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Discount { .. } => "discount",
            Self::RemoveDiscount { .. } => "remove_discount",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::SwitchPlan { .. } => "plan_switch",
            Self::ExtendTrial { .. } => "trial_extension",
            Self::ExtendTerm { .. } => "term_extension",
            Self::Credit { .. } => "credit",
            Self::TakeCredit { .. } => "take_credit",
            Self::Refund { .. } => "refund",
            Self::CancelAtPeriodEnd { .. } => "cancel_at_period_end",
            Self::UndoCancel => "undo_cancel",
            Self::CancelNow { .. } => "cancel_now",
        }
    }
}

/// How much a discount takes off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// In hundredths of a per cent: 2 500 is a quarter.
    BasisPoints(u32),
    /// Off every invoice it covers.
    Amount(Money),
}

impl Cut {
    pub fn percent(percent: u32) -> Self {
        Self::BasisPoints(percent.saturating_mul(100))
    }
}

/// How long a discount runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Term {
    /// The next invoice only.
    Once,
    Months(u32),
    Forever,
}

/// Which discounts stay when one is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    All,
    /// Those that are not ours stay, the retention discounts go.
    Foreign,
    /// Only these.
    Only(Vec<ExternalId>),
}

/// When a plan switch takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchAt {
    /// At once; `prorate` settles the part of the period already paid.
    Now { prorate: bool },
    /// When the paid period is over.
    PeriodEnd,
}

/// Names one act, so that it is done once. Made from the id of what asks for it: a redemption, a stored wish.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key every provider takes, less what [`Self::part`] may add.
    const LONGEST: usize = 200;

    /// A key of any length; a long one is replaced by its hash.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.len() <= Self::LONGEST && !text.is_empty() {
            return Self(text);
        }
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        Self(hex::encode(hash.as_ref()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of one call among the several an act takes.
    pub fn part(&self, name: &'static str) -> Self {
        Self(format!("{}:{name}", self.0))
    }
}

/// The provider took the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's id of the request, for its support desk.
    pub request_id: Option<String>,
    /// It had been done before, under the same key.
    pub replayed: bool,
    /// The discount, the credit or the refund that was made, where the provider says.
    pub made: Option<ExternalId>,
}
