//! When periods begin and end.

use jiff::Span;
use jiff::tz::TimeZone;
use kit::Timestamp;

use crate::providers::Interval;

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

/// So much later by the calendar, or the last instant there is.
pub fn later(at: Timestamp, span: Span) -> Timestamp {
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

    proptest! {
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
