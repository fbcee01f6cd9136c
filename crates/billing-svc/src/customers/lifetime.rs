//! How long somebody was a customer, and what that came to: plain functions over the subscriptions.

use kit::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::subscription::Subscription;

/// What the subscriptions of a customer came to: those that are over, and those that still run and grow by the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifetime {
    /// Of subscriptions that ended, in minor units.
    pub settled: i64,
    pub running: Vec<Run>,
}

/// A subscription that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// A month of it, in minor units.
    pub mrr: i64,
    #[serde(with = "store::time")]
    pub since: Timestamp,
}

impl Lifetime {
    /// Follows from the subscriptions in this currency. A trial counts for nothing.
    pub fn of(subscriptions: &[Subscription], currency: Currency) -> Self {
        let mut all = Self::default();
        for s in subscriptions.iter().filter(|s| s.mrr.currency == currency) {
            let since = s.trial_end.map_or(s.started_at, |t| t.max(s.started_at));
            match s.ended_at.filter(|_| !s.state.is_current()) {
                Some(end) => all.settled = all.settled.saturating_add(worth(s.mrr.minor, since, end)),
                None if s.state.is_current() => all.running.push(Run { mrr: s.mrr.minor, since }),
                None => {}
            }
        }
        all.running.sort_by_key(|r| (r.since, r.mrr));
        all
    }

    /// What it came to by `now`.
    pub fn value(&self, currency: Currency, now: Timestamp) -> Money {
        let grown = self.running.iter().map(|r| worth(r.mrr, r.since, now));
        Money::new(grown.fold(self.settled, i64::saturating_add), currency)
    }
}

/// So much a month over this time. A month is 30.4375 days, 487 sixteenths.
fn worth(mrr: i64, from: Timestamp, to: Timestamp) -> i64 {
    let days = (to.duration_since(from).as_hours() / 24).max(0);
    mrr.saturating_mul(days).saturating_mul(16) / 487
}

/// Whether there was a time without any subscription before one that is there now: the customer left and came back. One
/// subscription that takes the place of another is no return.
pub fn came_back(subscriptions: &[Subscription]) -> bool {
    let mut spans: Vec<_> = subscriptions
        .iter()
        .map(|s| {
            let end = if s.state.is_current() { Timestamp::MAX } else { s.ended_at.unwrap_or(s.started_at) };
            (s.started_at, end)
        })
        .collect();
    spans.sort_unstable();
    let mut covered: Option<Timestamp> = None;
    for (start, end) in spans {
        if covered.is_some_and(|until| start > until) {
            return true;
        }
        covered = covered.max(Some(end));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::tests::subscription;
    use crate::subscription::State;
    use crate::subscription::tests::at;

    fn ran(from: i64, to: Option<i64>) -> Subscription {
        let state = if to.is_some() { State::Ended } else { State::Active };
        Subscription { started_at: at(from), ended_at: to.map(at), trial_end: None, state, ..subscription() }
    }

    #[test]
    fn a_year_and_a_month_that_still_runs_are_worth_thirteen_months() {
        let eur = Currency::parse("EUR").unwrap();
        let all = [ran(0, Some(365)), ran(400, None)];
        let value = Lifetime::of(&all, eur).value(eur, at(430));
        // 2,000 a month: 365 days, and 30.
        assert_eq!(value.minor, 2_000 * 365 * 16 / 487 + 2_000 * 30 * 16 / 487);
        assert_eq!(Lifetime::of(&all, Currency::parse("USD").unwrap()), Lifetime::default());
        let trial = Subscription { trial_end: Some(at(20)), ..ran(0, None) };
        assert_eq!(Lifetime::of(&[trial], eur).value(eur, at(20)).minor, 0, "a trial is free");
    }

    #[test]
    fn who_changes_the_plan_did_not_come_back_and_who_was_away_did() {
        assert!(!came_back(&[ran(0, Some(10)), ran(10, None)]));
        assert!(!came_back(&[ran(0, Some(10)), ran(5, None)]));
        assert!(!came_back(&[ran(0, None), ran(20, None)]));
        assert!(came_back(&[ran(12, None), ran(0, Some(10))]));
        assert!(came_back(&[ran(0, Some(10)), ran(15, Some(20)), ran(18, None)]));
    }
}
