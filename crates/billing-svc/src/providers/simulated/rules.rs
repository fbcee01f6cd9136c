//! The rules of the simulated provider, as plain functions over values: what time does to a subscription, and what an
//! act does.

use jiff::Span;
use jiff::tz::TimeZone;
use kit::{Money, Timestamp};

use super::model::{Contract, Credit, Done, Grant, Invoice, OURS, Refund, Tariff};
use crate::providers::{Act, Cut, Interval, Keep, SwitchAt, Term, mrr};

/// How many acts a subscription remembers by their keys.
const REMEMBERED: usize = 50;
/// How many invoices it remembers.
const INVOICES: usize = 24;

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

const fn refused(slug: &'static str, message: &'static str) -> No {
    No::Refused { slug, message }
}

impl Contract {
    /// Lets happen what was due by `now`. Looking more often changes nothing: it is the same as looking once.
    pub fn settle(&mut self, now: Timestamp) {
        if self.ended_at.is_none() {
            // What would happen after the end does not happen any more.
            let end = self.cancel_at.filter(|at| *at <= now);
            let until = end.unwrap_or(now);
            if self.resumes_at.is_some_and(|at| at <= until) {
                self.resume();
            }
            if self.trial_end.is_some_and(|at| at <= until) {
                self.trial_end = None;
            }
            // A paused subscription has no periods; it catches up when it goes on.
            if self.paused_at.is_none() {
                self.roll_on(until, end);
            }
            // What a paused one catches up with is cut as it would have been on its day.
            let behind = self.paused_at.map_or(until, |_| self.period_end.min(until));
            self.grants.retain(|g| g.end.is_none_or(|end| end > behind));
            self.ended_at = end;
        }
        self.due_at = self.next_due();
    }

    /// Begins the periods that began by `now`; none begins where the subscription ends.
    fn roll_on(&mut self, now: Timestamp, end: Option<Timestamp>) {
        while self.period_end <= now && end.is_none_or(|end| self.period_end < end) {
            let begins = self.period_end;
            match self.next.take() {
                Some(tariff) => self.move_to(tariff, self.period_end),
                None => {
                    let (start, end) =
                        period(self.anchor, self.interval, self.interval_count, self.period_end);
                    (self.period_start, self.period_end) = (start, end);
                }
            }
            self.charge(begins);
            // The invoice that opens the period uses up what was for one invoice.
            self.grants.retain(|g| g.term != Term::Once);
        }
    }

    /// Writes the invoice of the period that begins then, and it is paid.
    pub fn charge(&mut self, at: Timestamp) {
        let running = self.grants.iter().filter(|g| g.end.is_none_or(|end| end > at)).map(|g| g.cut);
        let amount = mrr::invoice(self.price, self.quantity, running);
        let id = format!("in_{}_{}", self.external_id, at.as_second());
        self.invoices.push(Invoice { id, amount, at, paid_at: Some(at), refunds: Vec::new() });
        if self.invoices.len() > INVOICES {
            self.invoices.remove(0);
        }
    }

    fn refund(
        &mut self,
        amount: Money,
        not_before: Timestamp,
        key: &str,
        now: Timestamp,
    ) -> Result<String, No> {
        let paid = |i: &&mut Invoice| i.paid_at.is_some_and(|at| at >= not_before);
        let newest = self.invoices.iter_mut().rev().find(|i| i.paid_at.is_some()).filter(paid);
        let fits = |i: &&mut Invoice| {
            i.amount.currency == amount.currency && amount.minor > 0 && i.left() >= amount.minor
        };
        let Some(invoice) = newest.filter(fits) else {
            return Err(refused("nothing_to_refund", "no invoice was paid of which so much is left"));
        };
        let id = kit::id::new("re");
        invoice.refunds.push(Refund { id: id.clone(), key: key.into(), amount, at: now });
        Ok(id)
    }

    fn next_due(&self) -> Option<Timestamp> {
        if self.ended_at.is_some() {
            return None;
        }
        let runs = self.paused_at.is_none();
        let ends = self.grants.iter().filter_map(|g| g.end).filter(|end| runs || *end <= self.period_end);
        let dates = [self.resumes_at, self.trial_end, self.cancel_at].into_iter().flatten();
        let period = Some(self.period_end).filter(|_| runs);
        dates.chain(ends).chain(period).min()
    }

    fn move_to(&mut self, tariff: Tariff, at: Timestamp) {
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

    fn resume(&mut self) {
        (self.paused_at, self.resumes_at) = (None, None);
    }

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
        self.due_at = self.next_due();
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
                self.resume();
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
                self.credits.push(Credit { id: id.clone(), key: key.into(), amount: *amount, at: now });
                return Ok(Some(id));
            }
            Act::Refund { amount, not_before } => {
                return self.refund(*amount, *not_before, key, now).map(Some);
            }
            Act::TakeCredit { credit, .. } => self.credits.retain(|c| c.id != credit.as_str()),
            Act::CancelAtPeriodEnd { feedback } => {
                self.cancel_at = Some(self.period_end);
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
}

/// The period that holds `at`, of those that begin every interval from `anchor` on.
pub fn period(anchor: Timestamp, interval: Interval, count: u32, at: Timestamp) -> (Timestamp, Timestamp) {
    let count = i64::from(count.max(1));
    let nth = |n: i64| {
        let units = count.saturating_mul(n).min(100_000);
        let span = match interval {
            Interval::Day => Span::new().try_days(units),
            Interval::Week => Span::new().try_weeks(units),
            Interval::Month => Span::new().try_months(units),
            Interval::Year => Span::new().try_years(units.min(5_000)),
        };
        span.map_or(Timestamp::MAX, |span| later(anchor, span))
    };
    // A first guess from below, as no month is longer than 31 days.
    let days = at.duration_since(anchor).as_hours().max(0) / 24;
    let longest = match interval {
        Interval::Day => 1,
        Interval::Week => 7,
        Interval::Month => 31,
        Interval::Year => 366,
    };
    let mut n = days / (longest * count);
    while nth(n + 1) <= at && nth(n + 1) < Timestamp::MAX {
        n += 1;
    }
    (nth(n), nth(n + 1))
}

fn later(at: Timestamp, span: Span) -> Timestamp {
    at.to_zoned(TimeZone::UTC).checked_add(span).map_or(Timestamp::MAX, |z| z.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_begun_on_the_31st_stays_at_the_month_s_end() {
        let anchor = at("2026-01-31T00:00:00Z");
        let of = |now: &str| period(anchor, Interval::Month, 1, at(now));
        assert_eq!(of("2026-02-28T00:00:00Z"), (at("2026-02-28T00:00:00Z"), at("2026-03-31T00:00:00Z")));
        assert_eq!(of("2026-03-30T23:00:00Z").1, at("2026-03-31T00:00:00Z"));
        assert_eq!(of("2025-12-01T00:00:00Z"), (anchor, at("2026-02-28T00:00:00Z")));
        assert_eq!(
            period(anchor, Interval::Year, 1, at("2028-06-01T00:00:00Z")).1,
            at("2029-01-31T00:00:00Z")
        );
    }

    fn contract() -> Contract {
        let start = at("2026-01-31T00:00:00Z");
        let eur = kit::Currency::parse("EUR").unwrap();
        Contract {
            external_id: "sub_1".into(),
            customer: "c1".into(),
            plan: "fibre".into(),
            price_id: "fibre-month".into(),
            price: kit::Money::new(2_000, eur),
            quantity: 1,
            interval: Interval::Month,
            interval_count: 1,
            started_at: start,
            anchor: start,
            trial_end: None,
            period_start: start,
            period_end: at("2026-02-28T00:00:00Z"),
            past_due_since: None,
            cancel_at: None,
            ended_at: None,
            paused_at: None,
            resumes_at: None,
            next: None,
            grants: Vec::new(),
            credits: Vec::new(),
            invoices: Vec::new(),
            reason: None,
            due_at: None,
            done: Vec::new(),
        }
    }

    fn tariff() -> Tariff {
        Tariff {
            price_id: "lite-year".into(),
            plan: "lite".into(),
            name: "Lite".into(),
            amount: kit::Money::new(10_000, kit::Currency::parse("EUR").unwrap()),
            interval: Interval::Year,
            interval_count: 1,
        }
    }

    fn any_act(now: Timestamp) -> impl Strategy<Value = Act> {
        let term = prop_oneof![Just(Term::Once), Just(Term::Forever), (1_u32..6).prop_map(Term::Months)];
        let keep = prop_oneof![Just(Keep::All), Just(Keep::Foreign), Just(Keep::Only(Vec::new()))];
        let price_id = String::from("lite-year");
        let switch = |at| Act::SwitchPlan { price_id: price_id.clone(), at };
        prop_oneof![
            (1_u32..=100, term, keep).prop_map(|(percent, term, keep)| Act::Discount {
                cut: Cut::percent(percent),
                term,
                keep
            }),
            (1_i64..200)
                .prop_map(move |days| Act::Pause { months: 1, resumes_at: kit::time::add_days(now, days) }),
            Just(Act::Resume),
            (1_i64..90).prop_map(move |days| Act::ExtendTerm { until: kit::time::add_days(now, days) }),
            Just(switch(SwitchAt::Now { prorate: true })),
            Just(switch(SwitchAt::PeriodEnd)),
            Just(Act::CancelAtPeriodEnd { feedback: None }),
            Just(Act::UndoCancel),
            Just(Act::CancelNow { feedback: None }),
        ]
    }

    proptest! {
        #[test]
        fn looking_often_is_looking_once(
            acts in prop::collection::vec(any_act(at("2026-02-10T00:00:00Z")), 0..6),
            end in prop::option::of(1_i64..300),
            looks in prop::collection::vec(0_i64..400, 1..6),
        ) {
            let now = at("2026-02-10T00:00:00Z");
            let mut often = contract();
            often.cancel_at = end.map(|days| kit::time::add_days(now, days));
            for (n, act) in acts.iter().enumerate() {
                often.carry_out(act, &n.to_string(), Some(tariff()), now).ok();
            }
            let mut once = often.clone();
            let mut looks = looks;
            looks.sort_unstable();
            for days in &looks {
                often.settle(kit::time::add_days(now, *days));
            }
            let last = kit::time::add_days(now, looks.last().copied().unwrap_or_default());
            once.settle(last);
            prop_assert_eq!(&often, &once);
            prop_assert!(once.due_at.is_none_or(|due| due > last), "nothing due is left undone");
        }

        #[test]
        fn a_key_acts_once_whatever_it_does(act in any_act(at("2026-02-10T00:00:00Z"))) {
            let now = at("2026-02-10T00:00:00Z");
            let mut c = contract();
            let first = c.carry_out(&act, "k", Some(tariff()), now);
            let after = c.clone();
            let second = c.carry_out(&act, "k", Some(tariff()), kit::time::add_days(now, 1));
            prop_assert_eq!(&c, &after);
            match (first.unwrap(), second.unwrap()) {
                (Outcome::Done(a), Outcome::Before(b)) => prop_assert_eq!(a, b),
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn an_instant_lies_in_its_period(days in 0_i64..4_000, count in 1_u32..13, which in 0_usize..4) {
            let interval = [Interval::Day, Interval::Week, Interval::Month, Interval::Year][which];
            let anchor = at("2024-02-29T12:00:00Z");
            let now = kit::time::add_days(anchor, days);
            let (start, end) = period(anchor, interval, count, now);
            prop_assert!(start <= now && now < end);
        }
    }
}
