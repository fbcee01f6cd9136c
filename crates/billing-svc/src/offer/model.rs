//! What an offer is, what its terms cost, and when they are frozen.

use aws_lc_rs::digest;
use jiff::ToSpan;
use kit::locale::LocalText;
use kit::{FieldError, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::providers::{Act, Cut, Interval, Keep, SwitchAt, Term};
use crate::subscription::{State as SubscriptionState, Subscription};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Discount,
    Pause,
    PlanSwitch,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discount => "discount",
            Self::Pause => "pause",
            Self::PlanSwitch => "plan_switch",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Retain,
    WinBack,
    Convert,
    Recover,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Draft,
    Active,
    Paused,
    Archived,
}

impl State {
    /// `draft → active ⇄ paused → archived`; anything not yet archived may be.
    pub fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Draft | Self::Paused, Self::Active)
                | (Self::Active, Self::Paused)
                | (Self::Draft | Self::Active | Self::Paused, Self::Archived)
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }
}

/// What happens to discounts the subscription already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stacking {
    Merge,
    Replace,
    Refuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodePolicy {
    None,
    Shared,
    SingleUse,
}

/// What is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terms {
    Discount { cut: Cut, term: Term },
    Pause { months: u32 },
    PlanSwitch { plan: String, price_id: String, price: Money, interval: Interval, interval_count: u32 },
}

impl Terms {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Discount { .. } => Kind::Discount,
            Self::Pause { .. } => Kind::Pause,
            Self::PlanSwitch { .. } => Kind::PlanSwitch,
        }
    }

    /// What is wrong with them.
    pub fn faults(&self) -> Vec<FieldError> {
        let mut wrong = Vec::new();
        match self {
            Self::Discount { cut, term } => {
                match cut {
                    Cut::BasisPoints(bp) if !(100..=10_000).contains(bp) => {
                        wrong.push(field("terms.discount.percent", "out_of_range", "must be from 1 to 100"));
                    }
                    Cut::Amount(m) if m.minor <= 0 => {
                        wrong.push(field("terms.discount.amount", "out_of_range", "must be above zero"));
                    }
                    Cut::BasisPoints(_) | Cut::Amount(_) => {}
                }
                if let Term::Months(m) = term
                    && !(1..=36).contains(m)
                {
                    wrong.push(field("terms.discount.months", "out_of_range", "must be from 1 to 36"));
                }
            }
            Self::Pause { months } => {
                if !(1..=12).contains(months) {
                    wrong.push(field("terms.pause.months", "out_of_range", "must be from 1 to 12"));
                }
            }
            Self::PlanSwitch { price, .. } => {
                if price.minor < 0 {
                    wrong.push(field("terms.plan_switch.price", "out_of_range", "must not be negative"));
                }
            }
        }
        wrong
    }

    /// The most it can cost us on this subscription, over its whole term; a year stands for "for ever".
    pub fn cost(&self, s: &Subscription) -> Money {
        let invoice = s.invoice();
        match self {
            Self::Discount { cut, term } => {
                let off = match cut {
                    Cut::BasisPoints(bp) => invoice.basis_points(i64::from(*bp)),
                    // A discount in another currency takes nothing off; eligibility refuses it.
                    Cut::Amount(m) if m.currency == invoice.currency => {
                        Money::new(m.minor.min(invoice.minor), invoice.currency)
                    }
                    Cut::Amount(_) => Money::zero(invoice.currency),
                };
                let times = match term {
                    Term::Once => 1,
                    Term::Months(m) => invoices_in(*m, s.interval, s.interval_count),
                    Term::Forever => invoices_in(12, s.interval, s.interval_count),
                };
                Money::new(off.minor.saturating_mul(times), off.currency)
            }
            Self::Pause { months } => {
                Money::new(s.mrr.minor.saturating_mul(i64::from(*months)), s.mrr.currency)
            }
            Self::PlanSwitch { price, interval, interval_count, .. } => {
                let next = price.minor.saturating_mul(i64::from(s.quantity));
                let yearly = next.saturating_mul(invoices_in(12, *interval, *interval_count));
                let now = s.mrr.minor.saturating_mul(12);
                Money::new(now.saturating_sub(yearly).max(0), s.mrr.currency)
            }
        }
    }

    /// When the effect is over; none where it has no end of its own.
    pub fn ends_at(&self, s: &Subscription, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Discount { term: Term::Once, .. } => s.period_end,
            Self::Discount { term: Term::Months(m), .. } | Self::Pause { months: m } => {
                Some(add_months(from, *m))
            }
            Self::Discount { term: Term::Forever, .. } | Self::PlanSwitch { .. } => None,
        }
    }

    /// What the provider is asked to do. `from` is fixed by the claim, so that a second try says the same.
    pub fn act(&self, stacking: Stacking, from: Timestamp) -> Act {
        match self {
            Self::Discount { cut, term } => {
                let keep = match stacking {
                    Stacking::Replace => Keep::Foreign,
                    Stacking::Merge | Stacking::Refuse => Keep::All,
                };
                Act::Discount { cut: *cut, term: *term, keep }
            }
            Self::Pause { months } => Act::Pause { months: *months, resumes_at: add_months(from, *months) },
            // At once and settled: a switch that waits for the period's end would need a schedule at some providers,
            // and a schedule keeps every later offer off the subscription.
            Self::PlanSwitch { price_id, .. } => {
                Act::SwitchPlan { price_id: price_id.clone(), at: SwitchAt::Now { prorate: true } }
            }
        }
    }

    /// The terms in plain English, for offers that say nothing of their own.
    pub fn in_words(&self) -> String {
        let months = |m: u32| if m == 1 { "1 month".to_owned() } else { format!("{m} months") };
        match self {
            Self::Discount { cut, term } => {
                let off = match cut {
                    Cut::BasisPoints(bp) if bp % 100 == 0 => format!("{} % off", bp / 100),
                    Cut::BasisPoints(bp) => format!("{}.{:02} % off", bp / 100, bp % 100),
                    Cut::Amount(m) => format!("{m} off"),
                };
                match term {
                    Term::Once => format!("{off} your next invoice. Then your usual price."),
                    Term::Months(m) => format!("{off} for {}. Then your usual price.", months(*m)),
                    Term::Forever => format!("{off} for as long as you stay."),
                }
            }
            Self::Pause { months: m } => {
                format!("Your subscription pauses for {} and then goes on at your usual price.", months(*m))
            }
            Self::PlanSwitch { plan, price, interval, interval_count, .. } => {
                let unit = match interval {
                    Interval::Day => "day",
                    Interval::Week => "week",
                    Interval::Month => "month",
                    Interval::Year => "year",
                };
                let every =
                    if *interval_count > 1 { format!("{interval_count} {unit}s") } else { unit.to_owned() };
                format!("You move to {plan} for {price} every {every}, starting now.")
            }
        }
    }
}

fn field(path: &str, code: &str, text: &str) -> FieldError {
    FieldError::new(path, code, text)
}

/// How many invoices are written in so many months, at least one.
fn invoices_in(months: u32, interval: Interval, count: u32) -> i64 {
    let count = i64::from(count.max(1));
    let months = i64::from(months);
    let up = |total: i64, each: i64| (total + each - 1) / each;
    match interval {
        Interval::Day => up(months * 31, count),
        Interval::Week => up(months * 31, 7 * count),
        Interval::Month => up(months, count),
        Interval::Year => up(months, 12 * count),
    }
    .max(1)
}

/// The same day of a later month, or its last day.
pub fn add_months(at: Timestamp, months: u32) -> Timestamp {
    let day = at.to_zoned(jiff::tz::TimeZone::UTC);
    day.checked_add(i64::from(months).months()).map_or(at, |later| later.timestamp())
}

/// Whom it is for; an empty list does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audience {
    pub intervals: Vec<Interval>,
    pub plans: Vec<String>,
    pub states: Vec<SubscriptionState>,
    pub min_tenure_days: u32,
    pub persona_ids: Vec<String>,
}

/// How often and how much; zero and none do not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub total: u32,
    pub per_customer: u32,
    pub cooldown_days: u32,
    pub monthly_budget: Option<Money>,
}

/// An offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub name: String,
    pub kind: Kind,
    pub purpose: Purpose,
    pub state: State,
    /// Rises when frozen terms change.
    pub number: u32,
    pub terms: Terms,
    pub audience: Audience,
    pub limits: Limits,
    pub stacking: Stacking,
    pub code_policy: CodePolicy,
    pub shared_code: String,
    pub text: LocalText,
    pub terms_text: LocalText,
    pub terms_hash: String,
    /// Somebody was given it in this form.
    pub frozen: bool,
    #[serde(with = "store::time::option", default)]
    pub valid_from: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub valid_until: Option<Timestamp>,
}

/// What an offer is made from, or changed with. `terms_text` of none is written from the terms.
#[derive(Clone, Debug)]
pub struct Draft {
    pub name: String,
    pub purpose: Purpose,
    pub terms: Terms,
    pub audience: Audience,
    pub limits: Limits,
    pub stacking: Stacking,
    pub code_policy: CodePolicy,
    pub shared_code: String,
    pub text: LocalText,
    pub terms_text: Option<LocalText>,
    pub valid_from: Option<Timestamp>,
    pub valid_until: Option<Timestamp>,
}

impl Draft {
    /// The draft as an offer, or every field that is wrong with it.
    pub fn offer(self) -> Result<Offer, Vec<FieldError>> {
        let mut wrong = self.terms.faults();
        if !self.text.has_default() {
            wrong.push(field("text", "default_missing", "the text of the default locale is missing"));
        }
        if self.terms_text.as_ref().is_some_and(|t| !t.has_default()) {
            wrong.push(field("terms_text", "default_missing", "the text of the default locale is missing"));
        }
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && from >= until
        {
            wrong.push(field("valid_until", "out_of_order", "must be after valid_from"));
        }
        if self.code_policy == CodePolicy::Shared && self.shared_code.is_empty() {
            wrong.push(field("shared_code", "required", "a shared code policy needs the code"));
        }
        if self.limits.monthly_budget.is_some_and(|b| b.minor <= 0) {
            wrong.push(field("limits.monthly_budget", "out_of_range", "must be above zero"));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let terms_text = self.terms_text.unwrap_or_else(|| LocalText::of("en", &self.terms.in_words()));
        Ok(Offer {
            name: self.name,
            kind: self.terms.kind(),
            purpose: self.purpose,
            state: State::Draft,
            number: 1,
            terms_hash: hash(&self.terms, &terms_text),
            terms: self.terms,
            audience: self.audience,
            limits: self.limits,
            stacking: self.stacking,
            code_policy: self.code_policy,
            shared_code: self.shared_code,
            text: self.text,
            terms_text,
            frozen: false,
            valid_from: self.valid_from.map(kit::clock::millis),
            valid_until: self.valid_until.map(kit::clock::millis),
        })
    }
}

impl Offer {
    /// The offer with other contents. Frozen terms are not touched: other ones, or other words for them, are the next
    /// version. The kind stays what it is.
    pub fn changed(&self, draft: Draft) -> Result<Self, Vec<FieldError>> {
        if draft.terms.kind() != self.kind {
            return Err(vec![field("terms", "kind_fixed", "the kind of an offer cannot change")]);
        }
        let next = draft.offer()?;
        let new_terms = next.terms_hash != self.terms_hash;
        Ok(Self {
            state: self.state,
            number: self.number + u32::from(new_terms && self.frozen),
            frozen: self.frozen && !new_terms,
            ..next
        })
    }
}

/// Terms and their words, as one hash: what the customer saw is what is applied.
pub fn hash(terms: &Terms, words: &LocalText) -> String {
    // Both are plain data with ordered maps: their JSON is the same every time, and writing it cannot fail.
    let text = serde_json::to_vec(&(terms, words)).unwrap_or_default();
    hex::encode(digest::digest(&digest::SHA256, &text))
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(crate) mod tests;
