//! What an act does to a subscription.

use jiff::Span;
use kit::Timestamp;

use super::model::{Contract, Credit, Done, Grant, OURS, Tariff};
use super::period::{later, period};
use super::time::announced;
use crate::providers::{Act, Cut, Keep, SwitchAt, Term};

/// How many acts a subscription remembers by their keys.
const REMEMBERED: usize = 50;

/// What became of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out; the discount that was made.
    Done(Option<String>),
    /// The key acted before; nothing changes.
    Before(Option<String>),
}

/// Why an act is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum No {
    Refused { slug: &'static str, message: &'static str },
    KeyReused,
}

pub const fn refused(slug: &'static str, message: &'static str) -> No {
    No::Refused { slug, message }
}

impl Contract {
    /// Carries out one act. `tariff`: the price an act names, if the books hold it.
    pub fn carry_out(
        &mut self,
        act: &Act,
        key: &str,
        tariff: Option<Tariff>,
        now: Timestamp,
    ) -> Result<Outcome, No> {
        if let Some(done) = self.done.iter().find(|d| d.key == key) {
            return if done.act == *act {
                Ok(Outcome::Before(done.grant.clone()))
            } else {
                Err(No::KeyReused)
            };
        }
        // A credit is the customer's: it can be taken away from one who left.
        if self.ended_at.is_some() && !matches!(act, Act::TakeCredit { .. }) {
            return match act {
                Act::CancelAtPeriodEnd { .. } | Act::CancelNow { .. } => Ok(Outcome::Before(None)),
                _ => Err(refused("subscription_ended", "the subscription has ended")),
            };
        }
        let grant = self.change(act, key, tariff, now)?;
        let done = Done { key: key.to_owned(), act: act.clone(), at: now, grant: grant.clone() };
        self.done.push(done);
        if self.done.len() > REMEMBERED {
            self.done.remove(0);
        }
        self.due_at = self.due();
        Ok(Outcome::Done(grant))
    }

    fn change(
        &mut self,
        act: &Act,
        key: &str,
        tariff: Option<Tariff>,
        now: Timestamp,
    ) -> Result<Option<String>, No> {
        match act {
            Act::Discount { cut, term, keep } => return self.grant(*cut, *term, keep, now).map(Some),
            Act::RemoveDiscount { discount } => self.grants.retain(|g| g.id != discount.as_str()),
            Act::Pause { resumes_at, .. } => {
                if *resumes_at <= now {
                    return Err(refused("resumes_in_the_past", "a pause ends in the future"));
                }
                self.paused_at.get_or_insert(now);
                self.resumes_at = Some(*resumes_at);
            }
            Act::Resume => {
                self.resume(now);
                self.settle(now);
            }
            Act::SwitchPlan { at, .. } => {
                let tariff = tariff.ok_or(refused("price_not_found", "there is no such price"))?;
                if tariff.amount.currency != self.price.currency {
                    return Err(refused("other_currency", "the price is of another currency"));
                }
                match at {
                    SwitchAt::Now { .. } if tariff.price_id == self.price_id => self.next = None,
                    SwitchAt::Now { .. } => {
                        self.next = None;
                        self.move_to(tariff, now);
                    }
                    SwitchAt::PeriodEnd => self.next = Some(tariff),
                }
            }
            Act::ExtendTrial { until } => {
                if self.trial_end.is_none() {
                    return Err(refused("not_in_trial", "there is no trial to extend"));
                }
                // The first invoice is due when the trial ends, also when it ends earlier again.
                let until = (*until).max(now);
                if self.trial_end == Some(self.period_end) || self.period_end < until {
                    self.put_off(until);
                }
                self.trial_end = Some(until);
                // One that ends sooner than it would be announced is announced by whoever asked for it.
                self.trial_told = (announced(until) <= now).then_some(until);
                self.settle(now);
            }
            Act::ExtendTerm { until } => {
                if self.paused_at.is_some() {
                    return Err(refused("paused", "a paused subscription has no period"));
                }
                self.put_off((*until).max(now));
                self.settle(now);
            }
            Act::Credit { amount } if amount.currency != self.price.currency => {
                return Err(refused("other_currency", "the credit is of another currency"));
            }
            Act::Credit { amount } => {
                let id = kit::id::new("crd");
                self.credits.push(Credit {
                    id: id.clone(),
                    key: key.into(),
                    amount: *amount,
                    used: 0,
                    at: now,
                });
                return Ok(Some(id));
            }
            Act::Refund { amount, not_before } => {
                return self.refund(*amount, *not_before, key, now).map(Some);
            }
            Act::TakeCredit { credit, .. } => self.credits.retain(|c| c.id != credit.as_str()),
            Act::CancelAtPeriodEnd { feedback } => {
                // The period of a paused one may be over.
                self.cancel_at = Some(self.period_end.max(now));
                self.reason = feedback.clone();
            }
            Act::UndoCancel => (self.cancel_at, self.reason) = (None, None),
            Act::CancelNow { feedback } => {
                (self.cancel_at, self.ended_at) = (Some(now), Some(now));
                self.reason = feedback.clone();
            }
        }
        Ok(None)
    }

    fn grant(&mut self, cut: Cut, term: Term, keep: &Keep, now: Timestamp) -> Result<String, No> {
        let off = match cut {
            Cut::BasisPoints(bp) if bp == 0 || bp > 10_000 => {
                return Err(refused("bad_percentage", "a share is more than nothing and at most everything"));
            }
            Cut::BasisPoints(bp) => format!("{bp}bp"),
            Cut::Amount(money) if money.currency != self.price.currency => {
                return Err(refused("other_currency", "the discount is of another currency"));
            }
            Cut::Amount(money) => format!("{}{}", money.minor, money.currency.as_str().to_lowercase()),
        };
        let (long, end) = match term {
            Term::Once => ("once".to_owned(), None),
            Term::Forever => ("forever".to_owned(), None),
            Term::Months(months) => {
                (format!("{months}m"), Some(later(now, Span::new().months(i64::from(months)))))
            }
        };
        let coupon = format!("{OURS}{off}-{long}");
        // The same terms given again take the place of the first.
        self.grants.retain(|g| {
            g.coupon != coupon
                && match keep {
                    Keep::All => true,
                    Keep::Foreign => !g.coupon.starts_with(OURS),
                    Keep::Only(ids) => ids.iter().any(|id| id.as_str() == g.id),
                }
        });
        let id = kit::id::new("di");
        self.grants.push(Grant { id: id.clone(), coupon, cut, term, start: now, end });
        Ok(id)
    }

    pub fn move_to(&mut self, tariff: Tariff, at: Timestamp) {
        let Tariff { price_id, plan, name: _, amount, interval, interval_count } = tariff;
        // Another interval begins a period of its own; the same one goes on with the present.
        if (interval, interval_count) != (self.interval, self.interval_count) || at >= self.period_end {
            self.anchor = at;
            (self.period_start, self.period_end) = period(at, interval, interval_count, at);
        }
        (self.price_id, self.plan, self.price) = (price_id, plan, amount);
        (self.interval, self.interval_count) = (interval, interval_count);
    }

    /// The present period ends then, and the next ones are counted from there. A cancellation that is set moves along.
    fn put_off(&mut self, until: Timestamp) {
        if self.cancel_at == Some(self.period_end) {
            self.cancel_at = Some(until);
        }
        (self.anchor, self.period_end) = (until, until);
    }
}
