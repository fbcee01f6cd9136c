//! What an offer gives: its terms, what they cost on a subscription, and what a provider is asked to do for them.

use jiff::ToSpan;
use kit::{FieldError, Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::model::{Stacking, field};
use crate::providers::{Abilities, Ability, Act, Cut, Interval, Keep, SwitchAt, Term};
use crate::subscription::Subscription;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Discount,
    Pause,
    PlanSwitch,
    TrialExtension,
    TermExtension,
    Credit,
    Refund,
    Contact,
    Redirect,
    Custom,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Discount => "discount",
            Self::Pause => "pause",
            Self::PlanSwitch => "plan_switch",
            Self::TrialExtension => "trial_extension",
            Self::TermExtension => "term_extension",
            Self::Credit => "credit",
            Self::Refund => "refund",
            Self::Contact => "contact",
            Self::Redirect => "redirect",
            Self::Custom => "custom",
        }
    }
}

/// What is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Terms {
    Discount {
        cut: Cut,
        term: Term,
    },
    Pause {
        months: u32,
    },
    PlanSwitch {
        plan: String,
        price_id: String,
        price: Money,
        interval: Interval,
        interval_count: u32,
    },
    /// So many more days of trial.
    TrialExtension {
        days: u32,
    },
    /// So many days before the next invoice.
    TermExtension {
        days: u32,
    },
    /// Money for later invoices.
    Credit {
        amount: Money,
    },
    /// Part of the last invoice back, where that was paid within so many days.
    Refund {
        cut: Cut,
        within_days: u32,
    },
    /// Somebody gets in touch. The page, where there is one; hours of zero promise nothing.
    Contact {
        url: String,
        within_hours: u32,
    },
    Redirect {
        url: String,
    },
    /// What the company's own systems do, by the name they know it by.
    Custom {
        reference: String,
        cost: Option<Money>,
    },
}

impl Terms {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Discount { .. } => Kind::Discount,
            Self::Pause { .. } => Kind::Pause,
            Self::PlanSwitch { .. } => Kind::PlanSwitch,
            Self::TrialExtension { .. } => Kind::TrialExtension,
            Self::TermExtension { .. } => Kind::TermExtension,
            Self::Credit { .. } => Kind::Credit,
            Self::Refund { .. } => Kind::Refund,
            Self::Contact { .. } => Kind::Contact,
            Self::Redirect { .. } => Kind::Redirect,
            Self::Custom { .. } => Kind::Custom,
        }
    }

    /// Whether a redemption of it can be taken back: money that was paid back stays with the customer.
    pub fn is_reversible(&self) -> bool {
        !matches!(self, Self::Refund { .. })
    }

    /// Whether the company carries it out itself, and no provider is asked.
    pub fn is_by_hand(&self) -> bool {
        matches!(self, Self::Contact { .. } | Self::Redirect { .. } | Self::Custom { .. })
    }

    /// Where the customer goes on; empty where nowhere.
    pub fn url(&self) -> &str {
        match self {
            Self::Contact { url, .. } | Self::Redirect { url } => url,
            _ => "",
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
            Self::TrialExtension { days } | Self::TermExtension { days } => {
                if !(1..=366).contains(days) {
                    let path = format!("terms.{}.days", self.kind().as_str());
                    wrong.push(field(&path, "out_of_range", "must be from 1 to 366"));
                }
            }
            Self::Credit { amount } => {
                if amount.minor <= 0 {
                    wrong.push(field("terms.credit.amount", "out_of_range", "must be above zero"));
                }
            }
            Self::Refund { cut, within_days } => {
                match cut {
                    Cut::BasisPoints(bp) if !(100..=10_000).contains(bp) => {
                        wrong.push(field("terms.refund.percent", "out_of_range", "must be from 1 to 100"));
                    }
                    Cut::Amount(m) if m.minor <= 0 => {
                        wrong.push(field("terms.refund.amount", "out_of_range", "must be above zero"));
                    }
                    Cut::BasisPoints(_) | Cut::Amount(_) => {}
                }
                if !(1..=90).contains(within_days) {
                    wrong.push(field("terms.refund.within_days", "out_of_range", "must be from 1 to 90"));
                }
            }
            Self::Contact { url, .. } if url.is_empty() => {}
            Self::Contact { url, .. } | Self::Redirect { url } => {
                if !is_page(url) {
                    let path = format!("terms.{}.url", self.kind().as_str());
                    wrong.push(field(&path, "url", "must be an https address"));
                }
            }
            Self::Custom { cost, .. } => {
                if cost.is_some_and(|c| c.minor < 0) {
                    wrong.push(field("terms.custom.cost", "out_of_range", "must not be negative"));
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
            Self::TrialExtension { days } | Self::TermExtension { days } => {
                let share = i64::from(*days).saturating_mul(invoice.minor);
                let days = days_of(s.interval, s.interval_count);
                Money::new(share.saturating_add(days - 1) / days, invoice.currency)
            }
            // A credit in another currency gives nothing; eligibility refuses it.
            Self::Credit { amount } if amount.currency == invoice.currency => *amount,
            Self::Credit { .. } | Self::Contact { .. } | Self::Redirect { .. } => {
                Money::zero(invoice.currency)
            }
            Self::Refund { cut, .. } => {
                let paid = s.charged();
                match cut {
                    Cut::BasisPoints(bp) => paid.basis_points(i64::from(*bp)),
                    Cut::Amount(m) if m.currency == paid.currency => {
                        Money::new(m.minor.min(paid.minor), paid.currency)
                    }
                    // Eligibility refuses it.
                    Cut::Amount(_) => Money::zero(paid.currency),
                }
            }
            Self::Custom { cost, .. } => cost.unwrap_or(Money::zero(invoice.currency)),
        }
    }

    /// When the effect is over; none where it has no end of its own.
    pub fn ends_at(&self, s: &Subscription, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Discount { term: Term::Once, .. } => s.period_end,
            Self::Discount { term: Term::Months(m), .. } | Self::Pause { months: m } => {
                Some(add_months(from, *m))
            }
            Self::TrialExtension { days } => {
                s.trial_end.map(|end| kit::time::add_days(end, i64::from(*days)))
            }
            Self::TermExtension { days } => {
                s.period_end.map(|end| kit::time::add_days(end, i64::from(*days)))
            }
            // It was for the period that was paid.
            Self::Refund { .. } => s.period_end,
            Self::Discount { term: Term::Forever, .. }
            | Self::PlanSwitch { .. }
            | Self::Credit { .. }
            | Self::Contact { .. }
            | Self::Redirect { .. }
            | Self::Custom { .. } => None,
        }
    }

    /// The act the provider must be able to do, by its slug, and whether it can; none where the company does it itself.
    pub fn needs(&self, abilities: &Abilities) -> Option<(&'static str, Ability)> {
        let able = match self {
            Self::Discount { .. } => abilities.discount,
            Self::Pause { .. } => abilities.pause,
            Self::PlanSwitch { .. } => abilities.plan_switch_now,
            Self::TrialExtension { .. } => abilities.trial_extension,
            Self::TermExtension { .. } => abilities.term_extension,
            Self::Credit { .. } => abilities.credit,
            Self::Refund { .. } => abilities.refund,
            Self::Contact { .. } | Self::Redirect { .. } | Self::Custom { .. } => return None,
        };
        Some((self.kind().as_str(), able))
    }

    /// What the provider is asked to do; none where the company does it itself. `from` and `cost` are fixed by the claim,
    /// so that a second try says the same: of an extension, the end that is put off; of a refund, what is paid back.
    pub fn act(&self, stacking: Stacking, from: Timestamp, cost: Option<Money>) -> Option<Act> {
        Some(match self {
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
            Self::TrialExtension { days } => {
                Act::ExtendTrial { until: kit::time::add_days(from, i64::from(*days)) }
            }
            Self::TermExtension { days } => {
                Act::ExtendTerm { until: kit::time::add_days(from, i64::from(*days)) }
            }
            Self::Credit { amount } => Act::Credit { amount: *amount },
            Self::Refund { within_days, .. } => {
                Act::Refund { amount: cost?, not_before: kit::time::add_days(from, -i64::from(*within_days)) }
            }
            Self::Contact { .. } | Self::Redirect { .. } | Self::Custom { .. } => return None,
        })
    }

    /// The terms in plain English, for offers that say nothing of their own.
    pub fn in_words(&self) -> String {
        let months = |m: u32| if m == 1 { "1 month".to_owned() } else { format!("{m} months") };
        let days = |d: u32| if d == 1 { "1 more day".to_owned() } else { format!("{d} more days") };
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
            Self::TrialExtension { days: d } => format!("Your trial goes on for {}.", days(*d)),
            Self::TermExtension { days: d } => {
                format!("You have {} before your next invoice.", days(*d))
            }
            Self::Credit { amount } => {
                format!("You get {amount}. Your next invoices are paid from it first.")
            }
            Self::Refund { cut: Cut::BasisPoints(10_000), .. } => "You get your last payment back.".into(),
            Self::Refund { cut: Cut::BasisPoints(bp), .. } if bp % 100 == 0 => {
                format!("You get {} % of your last payment back.", bp / 100)
            }
            Self::Refund { cut: Cut::BasisPoints(bp), .. } => {
                format!("You get {}.{:02} % of your last payment back.", bp / 100, bp % 100)
            }
            Self::Refund { cut: Cut::Amount(m), .. } => {
                format!("You get {m} of your last payment back, or all of it if it was less.")
            }
            Self::Contact { within_hours: 0, .. } => "We get in touch with you.".into(),
            Self::Contact { within_hours: 1, .. } => "We get in touch with you within an hour.".into(),
            Self::Contact { within_hours, .. } => {
                format!("We get in touch with you within {within_hours} hours.")
            }
            Self::Redirect { .. } => "You go on at the next page.".into(),
            Self::Custom { .. } => "We see to it for you.".into(),
        }
    }
}

/// An address a customer's browser may be sent to.
fn is_page(url: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split(['/', '?', '#']).next());
    let plain = url.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '<' | '>' | '\\' | '`'));
    plain && host.is_some_and(|host| host.contains('.') && !host.contains('@') && !host.starts_with('.'))
}

/// How many days an invoice pays for, roughly.
fn days_of(interval: Interval, count: u32) -> i64 {
    let each = match interval {
        Interval::Day => 1,
        Interval::Week => 7,
        Interval::Month => 30,
        Interval::Year => 365,
    };
    i64::from(count.max(1)) * each
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
