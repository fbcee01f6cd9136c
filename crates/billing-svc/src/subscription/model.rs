//! What a mirrored subscription is, how a reading of the provider moves it, and when we keep our hands off it.

use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::providers::{
    self, Discount, Interval, PauseKind, PendingChange, ProviderKind, Snapshot, Term, mrr,
};

/// §10.1: the provider's states, and `unknown` where we have lost sight of it.
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
    Unknown,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Trialing,
        Self::Active,
        Self::PastDue,
        Self::Paused,
        Self::NonRenewing,
        Self::Ended,
        Self::Unknown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Paused => "paused",
            Self::NonRenewing => "non_renewing",
            Self::Ended => "ended",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a provider moves a subscription this way. Anything else means that we missed something between: it is
    /// taken all the same, as the provider is right, and noted.
    pub fn leads_to(self, next: Self) -> bool {
        use State::*;
        self == next
            || matches!(
                (self, next),
                (Pending, Trialing | Active | Ended)
                    | (Trialing, Active | NonRenewing | PastDue | Ended)
                    | (Active, PastDue | Paused | NonRenewing | Ended)
                    | (PastDue, Active | Paused | NonRenewing | Ended)
                    | (Paused, Active | NonRenewing | PastDue | Ended)
                    | (NonRenewing, Active | Ended)
                    | (Ended, Active)
                    | (Unknown, _)
                    | (Trialing | Active | PastDue | Paused | NonRenewing, Unknown)
            )
    }

    /// Whether the customer still has it, or will have it again.
    pub fn is_current(self) -> bool {
        !matches!(self, Self::Ended)
    }
}

impl From<providers::State> for State {
    fn from(state: providers::State) -> Self {
        match state {
            providers::State::Pending => Self::Pending,
            providers::State::Trialing => Self::Trialing,
            providers::State::Active => Self::Active,
            providers::State::PastDue => Self::PastDue,
            providers::State::Paused => Self::Paused,
            providers::State::NonRenewing => Self::NonRenewing,
            providers::State::Ended => Self::Ended,
        }
    }
}

/// When the customer said that they want to leave. Kept whatever becomes of it: cancelling counts from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    #[serde(with = "store::time")]
    pub at: Timestamp,
    #[serde(with = "store::time")]
    pub noted_at: Timestamp,
}

/// An act that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acting {
    pub key: String,
    #[serde(with = "store::time")]
    pub at: Timestamp,
}

/// The mirror of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    pub provider: ProviderKind,
    pub external_id: String,
    pub customer_id: String,
    pub state: State,
    pub plan: String,
    pub price_id: String,
    /// Per interval and unit.
    pub price: Money,
    pub quantity: u32,
    pub interval: Interval,
    pub interval_count: u32,
    pub mrr: Money,
    #[serde(with = "store::time")]
    pub started_at: Timestamp,
    #[serde(with = "store::time::option", default)]
    pub trial_end: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub period_start: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub period_end: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub cancel_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub ended_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub paused_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub resumes_at: Option<Timestamp>,
    pub pause_kind: Option<PauseKind>,
    pub pending_change: Option<PendingChange>,
    pub discounts: Vec<Discount>,
    pub schedule_attached: bool,
    pub item_count: u32,
    #[serde(with = "store::time::option", default)]
    pub past_due_since: Option<Timestamp>,
    pub provider_version: i64,
    #[serde(with = "store::time")]
    pub synced_at: Timestamp,
    /// Came back after its end: a win-back.
    #[serde(default)]
    pub reactivated: bool,
    /// A payment is disputed.
    #[serde(default)]
    pub disputed: bool,
    #[serde(default)]
    pub wish: Option<Wish>,
    /// The last acts done, by key, so that none is done twice.
    #[serde(default)]
    pub acts: Vec<String>,
    /// The act under way: a second try says the same to the provider, instants included.
    #[serde(default)]
    pub acting: Option<Acting>,
    /// The last provider events whose payment we told of, so that none is told twice.
    #[serde(default)]
    pub told: Vec<String>,
    /// Payments that failed since the last one that did not.
    #[serde(default)]
    pub failed_payments: u32,
}

/// How many keys and events a subscription remembers. Deterministic keys and event ids cover what is older.
const REMEMBERED: usize = 30;

/// What a reading of the provider means for the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Older than what we have: ignored.
    Older,
    /// Nothing new.
    Same,
    /// The mirror as it is to be.
    Newer(Box<Subscription>),
}

impl Subscription {
    /// The mirror of a subscription seen for the first time.
    pub fn seen(provider: ProviderKind, customer_id: String, snapshot: Snapshot, now: Timestamp) -> Self {
        let Snapshot {
            id,
            customer: _,
            state,
            plan,
            price_id,
            price,
            quantity,
            interval,
            interval_count,
            mrr,
            started_at,
            trial_end,
            period_start,
            period_end,
            cancel_at,
            ended_at,
            paused_at,
            resumes_at,
            pause_kind,
            pending_change,
            discounts,
            schedule_attached,
            item_count,
            past_due_since,
            provider_version,
        } = snapshot;
        Self {
            provider,
            external_id: id.as_str().to_owned(),
            customer_id,
            state: state.into(),
            plan,
            price_id,
            price,
            quantity,
            interval,
            interval_count,
            mrr,
            started_at: kit::clock::millis(started_at),
            trial_end: trial_end.map(kit::clock::millis),
            period_start: period_start.map(kit::clock::millis),
            period_end: period_end.map(kit::clock::millis),
            cancel_at: cancel_at.map(kit::clock::millis),
            ended_at: ended_at.map(kit::clock::millis),
            paused_at: paused_at.map(kit::clock::millis),
            resumes_at: resumes_at.map(kit::clock::millis),
            pause_kind,
            pending_change,
            discounts,
            schedule_attached,
            item_count,
            past_due_since: past_due_since.map(kit::clock::millis),
            provider_version,
            synced_at: now,
            reactivated: false,
            disputed: false,
            wish: None,
            acts: Vec::new(),
            acting: None,
            told: Vec::new(),
            failed_payments: 0,
        }
    }

    /// Takes a reading of the provider: the newer provider version wins, an equal one gives the same result, an older
    /// one is ignored.
    pub fn read(&self, snapshot: Snapshot, now: Timestamp) -> Reading {
        if snapshot.provider_version < self.provider_version {
            return Reading::Older;
        }
        let seen = Self::seen(self.provider, self.customer_id.clone(), snapshot, now);
        let came_back = self.state == State::Ended && seen.state.is_current();
        // A cancellation that was taken back takes the wish with it, or the next one would be dated as of the first.
        let undone =
            self.state == State::NonRenewing && !matches!(seen.state, State::NonRenewing | State::Ended);
        let next = Self {
            reactivated: self.reactivated || came_back,
            disputed: self.disputed,
            wish: self.wish.filter(|_| !undone && !came_back),
            acts: self.acts.clone(),
            acting: self.acting.clone(),
            told: self.told.clone(),
            failed_payments: self.failed_payments,
            ..seen
        };
        let same = Self { synced_at: self.synced_at, ..next.clone() } == *self;
        if same { Reading::Same } else { Reading::Newer(Box::new(next)) }
    }

    /// Lost sight of: offers are withheld, cancelling takes the manual path.
    pub fn lost(&self, now: Timestamp) -> Self {
        Self { state: State::Unknown, synced_at: now, ..self.clone() }
    }

    /// Whether what the others are told of it differs.
    pub fn tells_otherwise(&self, before: &Self) -> bool {
        let told = |s: &Self| {
            (
                s.state,
                s.plan.clone(),
                s.interval,
                s.interval_count,
                s.mrr,
                s.started_at,
                s.ended_at,
                s.cancel_at,
            )
        };
        told(self) != told(before) || self.period_end != before.period_end
    }

    /// Notes the wish to leave; the earliest one counts.
    pub fn wished(&self, at: Timestamp, now: Timestamp) -> Option<Self> {
        let at = at.min(now);
        if self.wish.is_some_and(|w| w.at <= at) {
            return None;
        }
        Some(Self { wish: Some(Wish { at, noted_at: now }), ..self.clone() })
    }

    /// Whether the act of this key was done.
    pub fn has_acted(&self, key: &str) -> bool {
        self.acts.iter().any(|k| k == key)
    }

    /// Notes that the act of this key begins, or began at an earlier try.
    pub fn beginning(&self, key: &str, at: Timestamp) -> Self {
        let begun = self.acting.clone().filter(|a| a.key == key);
        let acting = begun.unwrap_or_else(|| Acting { key: key.to_owned(), at });
        Self { acting: Some(acting), ..self.clone() }
    }

    /// Notes that the act of this key is done.
    pub fn acted(&self, key: &str) -> Self {
        Self { acts: remember(&self.acts, key), acting: None, ..self.clone() }
    }

    /// Notes that the others are told of a payment by this provider event; none when they had been.
    pub fn telling(&self, event: &str, failed: bool) -> Option<Self> {
        let known = self.told.iter().any(|e| e == event);
        let failed_payments = if failed { self.failed_payments + 1 } else { 0 };
        (!known).then(|| Self { told: remember(&self.told, event), failed_payments, ..self.clone() })
    }

    /// Why we must not change it: a slug of §10.2. A human does it then.
    pub fn hands_off(&self) -> Option<&'static str> {
        if self.state == State::Unknown {
            Some("unknown_state")
        } else if self.item_count > 1 {
            Some("several_items")
        } else if self.schedule_attached {
            Some("schedule_attached")
        } else if self.state == State::PastDue && self.disputed {
            Some("disputed")
        } else {
            None
        }
    }

    /// What one invoice comes to before discounts.
    pub fn invoice(&self) -> Money {
        Money::new(self.price.minor.saturating_mul(i64::from(self.quantity)), self.price.currency)
    }

    /// What the last invoice came to, as far as the mirror can tell: the price less the discounts that are there. One for
    /// a single invoice is still to come, or gone.
    pub fn charged(&self) -> Money {
        let cuts = self.discounts.iter().filter(|d| d.term != Term::Once).map(|d| d.cut);
        mrr::invoice(self.price, self.quantity, cuts)
    }

    /// The retention discounts that run at `at`.
    pub fn retention_discounts(&self, at: Timestamp) -> impl Iterator<Item = &Discount> {
        self.discounts.iter().filter(move |d| d.retention && d.runs_at(at))
    }
}

fn remember(known: &[String], new: &str) -> Vec<String> {
    let from = (known.len() + 1).saturating_sub(REMEMBERED);
    known[from..].iter().cloned().chain(std::iter::once(new.to_owned())).collect()
}

/// What can be asked of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// At the close of the paid period.
    Cancel,
    /// At once, for good.
    CancelNow,
    Undo,
    Pause,
    Resume,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::CancelNow => "cancel_now",
            Self::Undo => "undo",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// Whether it is a wish to leave.
    pub fn leaves(self) -> bool {
        matches!(self, Self::Cancel | Self::CancelNow)
    }

    /// Whether the subscription already is as this act would make it.
    pub fn is_done(self, s: &Subscription) -> bool {
        match self {
            Self::Cancel => matches!(s.state, State::NonRenewing | State::Ended),
            Self::CancelNow => s.state == State::Ended,
            Self::Undo => !matches!(s.state, State::NonRenewing | State::Ended) && s.cancel_at.is_none(),
            // Some providers pause at the next renewal only: one that waits is agreed all the same.
            Self::Pause => s.state == State::Paused || s.paused_at.is_some(),
            Self::Resume => s.state != State::Paused && s.paused_at.is_none(),
        }
    }

    /// Why the state forbids it; none when it may be tried.
    pub fn refused(self, s: &Subscription) -> Option<&'static str> {
        if s.state == State::Ended && !self.leaves() {
            return Some("already_ended");
        }
        if self == Self::Pause && !matches!(s.state, State::Active | State::PastDue | State::Paused) {
            return Some("not_pausable");
        }
        s.hands_off()
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(crate) mod tests;
