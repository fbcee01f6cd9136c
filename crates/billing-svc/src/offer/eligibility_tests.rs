use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::ledger::Grant;
use super::super::model::tests::{discount, draft, eur, subscription, switch};
use super::super::model::{Audience, Limits};
use super::super::terms::Kind;
use super::*;
use crate::providers::Interval;
use crate::subscription::tests::at;

fn active(terms: Terms) -> Offer {
    Offer { state: State::Active, ..draft(terms).offer().unwrap() }
}

fn codes(offer: &Offer, s: &Subscription, ledger: &Ledger, used: &Use) -> Vec<&'static str> {
    let facts = Facts {
        offer_id: "off_1",
        offer,
        subscription: s,
        personas: &["per_1".into()],
        used,
        ledger,
        abilities: None,
        now: at(40),
    };
    facts.reasons().into_iter().map(|r| r.code).collect()
}

fn plain(offer: &Offer) -> Vec<&'static str> {
    codes(offer, &subscription(), &Ledger::default(), &Use::default())
}

#[test]
fn every_reason_is_told_at_once() {
    let audience = Audience {
        intervals: vec![Interval::Year],
        plans: vec!["dsl".into()],
        states: vec![],
        min_tenure_days: 400,
        persona_ids: vec!["per_2".into()],
    };
    let offer = Offer { state: State::Paused, audience, valid_until: Some(at(3)), ..active(discount(20, 3)) };
    assert_eq!(
        plain(&offer),
        [
            "offer_not_active",
            "no_longer_valid",
            "interval_not_served",
            "plan_not_served",
            "tenure_too_short",
            "persona_not_met"
        ]
    );
    assert_eq!(plain(&active(discount(20, 3))), [] as [&str; 0]);
}

#[test]
fn the_subscription_has_its_say() {
    let none = (Ledger::default(), Use::default());
    let of = |terms, s: &Subscription| codes(&active(terms), s, &none.0, &none.1);
    let ended = Subscription { state: SubscriptionState::Ended, ..subscription() };
    assert_eq!(of(discount(20, 3), &ended), ["state_not_served", "already_ended"]);
    let several = Subscription { item_count: 2, ..subscription() };
    assert_eq!(of(switch(1_500), &several), ["several_items"]);
    let there = Subscription { price_id: "dsl_month".into(), ..subscription() };
    assert_eq!(of(switch(1_500), &there), ["same_plan"]);
    let leaving = Subscription { state: SubscriptionState::NonRenewing, ..subscription() };
    assert_eq!(of(discount(20, 3), &leaving), ["state_not_served"]);
}

fn grant(kind: Kind, day: i64, until: Option<i64>) -> Grant {
    Grant {
        redemption_id: format!("red_{day}"),
        offer_id: "off_1".into(),
        kind,
        at: at(day),
        until: until.map(at),
        ended_by: None,
    }
}

#[test]
fn invariant_5_a_second_retention_discount_is_refused_unless_the_offer_says_merge() {
    let ledger = Ledger::default().with(grant(Kind::Discount, 30, Some(120)), false);
    let refuse = active(discount(20, 3));
    let of = |offer: &Offer| codes(offer, &subscription(), &ledger, &Use::default());
    assert_eq!(of(&refuse), ["discount_running"]);
    assert_eq!(of(&Offer { stacking: Stacking::Merge, ..refuse.clone() }), [] as [&str; 0]);
    let replacing = Offer { stacking: Stacking::Replace, ..refuse };
    assert_eq!(of(&replacing), [] as [&str; 0]);
    let after = ledger.with(grant(Kind::Discount, 40, Some(130)), true);
    let running = after.grants.iter().filter(|g| g.until.is_some_and(|u| u > at(40))).count();
    assert_eq!(running, 1, "the one replaced no longer runs");
}

#[test]
fn limits_of_the_customer_and_the_offer() {
    let limits = Limits { total: 5, per_customer: 2, cooldown_days: 180, monthly_budget: Some(eur(2_000)) };
    let offer = Offer { limits, stacking: Stacking::Merge, ..active(discount(20, 3)) };
    let of = |ledger: &Ledger, used: &Use| codes(&offer, &subscription(), ledger, used);
    let once = Ledger::default().with(grant(Kind::Discount, 10, None), false);
    assert_eq!(of(&once, &Use::default()), ["offer_on_cooldown"]);
    let pause_first = Ledger::default().with(grant(Kind::Pause, 10, None), false);
    assert_eq!(of(&pause_first, &Use::default()), [] as [&str; 0], "another kind does not cool this one");
    let twice = once.with(grant(Kind::Discount, 11, None), false);
    assert_eq!(of(&twice, &Use::default()), ["customer_limit_reached"]);
    assert_eq!(of(&twice.without("red_11", false), &Use::default()), ["offer_on_cooldown"]);
    let full = Use { claimed: 5, spent: BTreeMap::new() };
    assert_eq!(of(&Ledger::default(), &full), ["limit_reached"]);
    let spent = Use { claimed: 1, spent: BTreeMap::from([("2026-02".into(), 801)]) };
    assert_eq!(of(&Ledger::default(), &spent), ["budget_spent"], "1 200 of 2 000 and 801 before");
    let earlier = Use { claimed: 1, spent: BTreeMap::from([("2026-01".into(), 2_000)]) };
    assert_eq!(of(&Ledger::default(), &earlier), [] as [&str; 0]);
}

#[test]
fn a_flow_narrows_what_it_wants() {
    let offer = active(discount(30, 3));
    let codes = |percent, kinds: &[&str]| {
        let kinds = kinds.iter().map(ToString::to_string).collect();
        let wanted = Wanted { max_discount_percent: percent, kinds };
        wanted.reasons(&offer, eur(2_000)).into_iter().map(|r| r.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(0, &[]), [] as [&str; 0]);
    assert_eq!(codes(30, &["discount"]), [] as [&str; 0]);
    assert_eq!(codes(25, &["pause"]), ["kind_not_allowed", "above_max_discount"]);
}

proptest! {
    /// The one law of limits: as long as every taker asked first, nothing is ever above its limit.
    #[test]
    fn invariant_6_limits_and_budgets_hold_over_any_sequence_of_claims_and_reversals(
        total in 0_u32..6, budget in 1_i64..5_000, steps in prop::collection::vec((any::<bool>(), 1_i64..1_500), 1..60),
    ) {
        let limits = Limits { total, monthly_budget: Some(eur(budget)), ..Limits::default() };
        let (mut used, mut held) = (Use::default(), Vec::new());
        for (take, cost) in steps {
            if take {
                if used.may_take(&limits, eur(cost), at(40)).is_ok() {
                    used.claimed += 1;
                    *used.spent.entry(super::super::ledger::month(at(40))).or_default() += cost;
                    held.push(cost);
                }
            } else if let Some(cost) = held.pop() {
                used.claimed -= 1;
                *used.spent.entry(super::super::ledger::month(at(40))).or_default() -= cost;
            }
            prop_assert!(total == 0 || used.claimed <= i64::from(total));
            prop_assert!(held.iter().sum::<i64>() <= budget);
            prop_assert_eq!(held.len() as i64, used.claimed);
        }
    }

    /// An offer is withheld exactly when there is a reason to tell.
    #[test]
    fn no_silent_refusals(state in prop::sample::select(SubscriptionState::ALL.to_vec()), days in 0_u32..100, items in 1_u32..3) {
        let audience = Audience { min_tenure_days: days, ..Audience::default() };
        let offer = Offer { audience, ..active(discount(20, 3)) };
        let s = Subscription { state, item_count: items, ..subscription() };
        let yes = codes(&offer, &s, &Ledger::default(), &Use::default()).is_empty();
        prop_assert_eq!(yes, SERVED.contains(&state) && days <= 40 && items == 1);
    }
}

#[test]
fn what_a_replacement_took_the_place_of_runs_on_where_the_replacement_came_to_nothing() {
    let first = Ledger::default().with(grant(Kind::Discount, 30, Some(120)), false);
    let second = first.with(grant(Kind::Discount, 40, Some(130)), true);
    assert!(second.grants[0].until.is_none_or(|until| until <= at(40)));
    assert_eq!(second.without("red_40", false), first, "nothing happened at the provider");
    let gone = second.without("red_40", true);
    assert!(!gone.has_running_discount(at(41)), "the first one went when the second came");
}
