//! Monthly recurring revenue: the one place that computes it, from price, quantity, interval and discounts.

use kit::{Money, Timestamp};

use super::act::{Cut, Term};
use super::snapshot::{Discount, Interval, State};

/// What a subscription bills.
#[derive(Clone, Copy, Debug)]
pub struct Billing<'a> {
    pub state: State,
    /// Per interval and unit.
    pub price: Money,
    pub quantity: u32,
    pub interval: Interval,
    pub interval_count: u32,
    pub discounts: &'a [Discount],
}

/// What the subscription brings in a month under its present terms, never below zero.
///
/// Nothing is counted before the first payment (`pending`) and after the end. A trial and a pause count with what they
/// will bring: they are agreed revenue, and reports tell them apart by state. A discount counts while it runs; one for
/// a single invoice is a cost, not a lower price. Shares are taken first, in their order, then amounts.
pub fn monthly(billing: Billing<'_>, at: Timestamp) -> Money {
    let Billing { state, price, quantity, interval, interval_count, discounts } = billing;
    if matches!(state, State::Pending | State::Ended) {
        return Money::zero(price.currency);
    }
    let running = discounts.iter().filter(|d| d.term != Term::Once && d.runs_at(at));
    let invoice = cut(price, quantity, running.map(|d| d.cut));
    // A month is a twelfth of a year, of 365 days or 52 weeks.
    let (times, per) = match interval {
        Interval::Day => (365, 12),
        Interval::Week => (52, 12),
        Interval::Month => (1, 1),
        Interval::Year => (1, 12),
    };
    let per = per * i128::from(interval_count.max(1)) * 10_000;
    let minor = (invoice * times + per / 2) / per;
    Money::new(i64::try_from(minor).unwrap_or(i64::MAX), price.currency)
}

/// What one invoice comes to after these cuts, never below zero.
pub fn invoice(price: Money, quantity: u32, cuts: impl Iterator<Item = Cut> + Clone) -> Money {
    let minor = (cut(price, quantity, cuts) + 5_000) / 10_000;
    Money::new(i64::try_from(minor).unwrap_or(i64::MAX), price.currency)
}

/// In ten-thousandths of a minor unit, so that several shares do not each round.
fn cut(price: Money, quantity: u32, cuts: impl Iterator<Item = Cut> + Clone) -> i128 {
    let mut invoice = i128::from(price.minor) * i128::from(quantity) * 10_000;
    for cut in cuts.clone() {
        if let Cut::BasisPoints(bp) = cut {
            invoice = invoice * i128::from(10_000_u32.saturating_sub(bp)) / 10_000;
        }
    }
    for cut in cuts {
        if let Cut::Amount(off) = cut
            && off.currency == price.currency
        {
            invoice -= i128::from(off.minor) * 10_000;
        }
    }
    invoice.max(0)
}

#[cfg(test)]
mod tests {
    use kit::Currency;
    use proptest::prelude::*;

    use super::*;
    use crate::providers::ExternalId;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::parse("EUR").unwrap())
    }

    fn discount(cut: Cut, term: Term, end: Option<Timestamp>) -> Discount {
        let start = Timestamp::UNIX_EPOCH;
        Discount { id: ExternalId::new("d"), coupon: "c".into(), cut, term, start, end, retention: true }
    }

    fn at() -> Timestamp {
        "2026-11-01T00:00:00Z".parse().unwrap()
    }

    fn mrr(minor: i64, quantity: u32, interval: Interval, count: u32, discounts: &[Discount]) -> i64 {
        let billing = Billing {
            state: State::Active,
            price: eur(minor),
            quantity,
            interval,
            interval_count: count,
            discounts,
        };
        monthly(billing, at()).minor
    }

    #[test]
    fn intervals_come_to_a_month() {
        assert_eq!(mrr(2_000, 1, Interval::Month, 1, &[]), 2_000);
        assert_eq!(mrr(2_000, 3, Interval::Month, 1, &[]), 6_000);
        assert_eq!(mrr(6_000, 1, Interval::Month, 3, &[]), 2_000);
        assert_eq!(mrr(12_000, 1, Interval::Year, 1, &[]), 1_000);
        assert_eq!(mrr(1_200, 1, Interval::Week, 1, &[]), 5_200);
        assert_eq!(mrr(1_200, 1, Interval::Day, 1, &[]), 36_500);
        assert_eq!(mrr(10_000, 1, Interval::Year, 1, &[]), 833);
    }

    #[test]
    fn discounts_count_while_they_run() {
        let percent = |p, term, end| discount(Cut::percent(p), term, end);
        assert_eq!(mrr(2_000, 1, Interval::Month, 1, &[percent(25, Term::Forever, None)]), 1_500);
        assert_eq!(mrr(2_000, 1, Interval::Month, 1, &[percent(25, Term::Once, None)]), 2_000);
        assert_eq!(mrr(2_000, 1, Interval::Month, 1, &[percent(25, Term::Months(3), Some(at()))]), 2_000);
        let amount = discount(Cut::Amount(eur(6_000)), Term::Forever, None);
        assert_eq!(mrr(12_000, 1, Interval::Year, 1, std::slice::from_ref(&amount)), 500);
        assert_eq!(mrr(2_000, 1, Interval::Month, 1, &[amount]), 0, "never below zero");
    }

    proptest! {
        #[test]
        fn a_discount_never_adds_and_never_turns_the_sign(minor in 0_i64..10_000_000, bp in 0_u32..=10_000, off in 0_i64..20_000_000) {
            let both = [
                discount(Cut::Amount(eur(off)), Term::Forever, None),
                discount(Cut::BasisPoints(bp), Term::Forever, None),
            ];
            let cut = mrr(minor, 1, Interval::Year, 1, &both);
            prop_assert!(cut >= 0 && cut <= mrr(minor, 1, Interval::Year, 1, &[]));
        }
    }
}
