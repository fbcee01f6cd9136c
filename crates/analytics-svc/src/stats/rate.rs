//! A share of something.

/// Under this many there is no percentage: it would say more than is known.
pub const LEAST: u64 = 30;

/// `count` of `of`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    pub count: u64,
    pub of: u64,
}

impl Rate {
    pub fn new(count: u64, of: u64) -> Self {
        Self { count, of }
    }

    /// One more, which counts or does not.
    pub fn add(&mut self, counts: bool) {
        self.of += 1;
        self.count += u64::from(counts);
    }

    /// 0 to 100 with one digit behind the point, or nothing where too few were counted.
    #[allow(clippy::cast_precision_loss, reason = "rounded to a tenth")]
    pub fn percent(self) -> Option<f64> {
        if self.of < LEAST {
            return None;
        }
        let tenths = (u128::from(self.count) * 2000 + u128::from(self.of)) / (2 * u128::from(self.of));
        Some(tenths as f64 / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_are_counted_and_not_rated() {
        assert_eq!(Rate::new(20, 29).percent(), None);
        assert_eq!(Rate::new(20, 30).percent(), Some(66.7));
        assert_eq!(Rate::new(0, 30).percent(), Some(0.0));
        assert_eq!(Rate::new(30, 30).percent(), Some(100.0));
    }

    proptest! {
        #[test]
        fn a_rate_is_a_share_to_the_tenth(of in 30_u64..100_000, count in 0_u64..100_000) {
            let count = count.min(of);
            let percent = Rate::new(count, of).percent().unwrap();
            prop_assert!((0.0..=100.0).contains(&percent));
            #[allow(clippy::cast_precision_loss)]
            let exact = count as f64 * 100.0 / of as f64;
            prop_assert!((percent - exact).abs() <= 0.05 + 1e-9);
        }
    }
}
