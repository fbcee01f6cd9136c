//! Which arm of a split a customer is in: a sticky hash, so that it is the same on every replica and in every version.

use aws_lc_rs::digest::{SHA256, digest};

use crate::workflow::Split;

/// The customer's arm; none where no arm weighs anything. Arms that keep their weights and their order by name keep
/// their customers.
pub fn draw<'s>(split: &'s Split, workflow: &str, node: &str, customer: &str) -> Option<&'s str> {
    let weights: Vec<(&str, u64)> =
        split.arms.iter().map(|(arm, _)| (arm.as_str(), u64::from(split.weight(arm)))).collect();
    let whole: u64 = weights.iter().map(|(_, weight)| weight).sum();
    if whole == 0 {
        return None;
    }
    // The unit separator keeps one field from reaching into the next.
    let what = if split.experiment_id.is_empty() {
        ["workflow", workflow, node, customer].join("\u{1f}")
    } else {
        ["experiment", &split.experiment_id, customer].join("\u{1f}")
    };
    let hash = digest(&SHA256, what.as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    // 2^64 is no multiple of the whole, but so near one that nobody can tell.
    let mut at = u64::from_be_bytes(first) % whole;
    for (arm, weight) in weights {
        match at.checked_sub(weight) {
            None => return Some(arm),
            Some(rest) => at = rest,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(experiment: &str, weights: &[(&str, u32)]) -> Split {
        Split {
            experiment_id: experiment.into(),
            arms: weights.iter().map(|(arm, _)| ((*arm).into(), "end".into())).collect(),
            otherwise: "end".into(),
            weights: weights.iter().map(|(arm, weight)| ((*arm).into(), *weight)).collect(),
        }
    }

    #[test]
    fn arms_are_drawn_by_their_weights() {
        let split = split("exp_1", &[("blue", 3), ("green", 1), ("never", 0)]);
        let in_arm =
            |arm| (0..8_000).filter(|i| draw(&split, "wfl_1", "n", &format!("cus_{i}")) == Some(arm)).count();
        let (blue, green) = (in_arm("blue"), in_arm("green"));
        assert!((5_800..6_200).contains(&blue) && blue + green == 8_000, "{blue} {green}");
    }

    #[test]
    fn an_experiment_is_the_same_everywhere_and_a_split_without_one_is_its_node_s() {
        let (of, own) = (split("exp_1", &[("a", 1), ("b", 1)]), split("", &[("a", 1), ("b", 1)]));
        let drawn = |s, workflow, node| {
            (0..64).map(|i| draw(s, workflow, node, &format!("cus_{i}")).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(drawn(&of, "wfl_1", "n"), drawn(&of, "wfl_2", "m"));
        assert_ne!(drawn(&own, "wfl_1", "n"), drawn(&own, "wfl_2", "n"));
        assert_ne!(drawn(&own, "wfl_1", "n"), drawn(&own, "wfl_1", "m"));
        assert_eq!(draw(&split("exp_1", &[("a", 0)]), "wfl_1", "n", "cus_1"), None);
    }

    proptest! {
        #[test]
        fn the_same_customer_is_in_the_same_arm(customer in ".*", weights in proptest::collection::vec(1_u32..100, 1..6)) {
            let arms: Vec<_> = weights.iter().enumerate().map(|(i, w)| (format!("arm{i}"), *w)).collect();
            let named: Vec<_> = arms.iter().map(|(arm, w)| (arm.as_str(), *w)).collect();
            let split = split("exp_1", &named);
            let first = draw(&split, "wfl_1", "n", &customer);
            prop_assert!(first.is_some());
            prop_assert_eq!(first, draw(&split, "wfl_9", "m", &customer));
        }
    }
}
