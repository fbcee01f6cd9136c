//! The draw of the holdout: sticky, the same on every replica, without a table of who was drawn.

use aws_lc_rs::digest::{SHA256, digest};
use kit::Scope;

/// Whether a customer is among the `share_percent` of its company that a period holds out.
pub fn drawn(scope: &Scope, period: u32, customer: &str, share_percent: u32) -> bool {
    // The unit separator keeps one field from reaching into the next.
    let text = [scope.company.as_str(), scope.mode.as_str(), &period.to_string(), customer].join("\u{1f}");
    let hash = digest(&SHA256, text.as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    // 2^64 is no multiple of 10 000, but so near one that nobody can tell.
    u64::from_be_bytes(first) % 10_000 < u64::from(share_percent) * 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use kit::Mode;
    use proptest::prelude::*;

    #[test]
    fn the_share_drawn_is_near_the_share_asked_for() {
        let scope = Scope::new("com_1", Mode::Live);
        let drawn = |share| (0..20_000).filter(|i| drawn(&scope, 1, &format!("cus_{i}"), share)).count();
        assert_eq!(drawn(0), 0);
        assert!((800..1200).contains(&drawn(5)), "{}", drawn(5));
        assert!((3700..4300).contains(&drawn(20)), "{}", drawn(20));
    }

    proptest! {
        #[test]
        fn a_draw_is_sticky_and_grows_with_the_share(customer in "[a-z0-9_]{1,40}", period in 1_u32..9, share in 0_u32..=20) {
            let scope = Scope::new("com_1", Mode::Test);
            let first = drawn(&scope, period, &customer, share);
            prop_assert_eq!(first, drawn(&scope, period, &customer, share));
            prop_assert!(!first || drawn(&scope, period, &customer, share + 1));
        }
    }
}
