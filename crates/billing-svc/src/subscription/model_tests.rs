use kit::Currency;
use proptest::prelude::*;

use super::*;
use crate::providers::ExternalId;

pub(crate) fn at(day: i64) -> Timestamp {
    kit::time::add_days("2026-01-01T00:00:00Z".parse().unwrap(), day)
}

pub(crate) fn snapshot(state: providers::State, version: i64) -> Snapshot {
    let price = Money::new(2_000, Currency::parse("EUR").unwrap());
    Snapshot {
        id: ExternalId::new("sub_1"),
        customer: ExternalId::new("cus_1"),
        state,
        plan: "fibre".into(),
        price_id: "fibre_month".into(),
        price,
        quantity: 1,
        interval: Interval::Month,
        interval_count: 1,
        mrr: price,
        started_at: at(0),
        trial_end: None,
        period_start: Some(at(0)),
        period_end: Some(at(31)),
        cancel_at: None,
        ended_at: None,
        paused_at: None,
        resumes_at: None,
        pause_kind: None,
        pending_change: None,
        discounts: vec![],
        schedule_attached: false,
        item_count: 1,
        past_due_since: None,
        provider_version: version,
    }
}

fn mirror(state: providers::State, version: i64) -> Subscription {
    Subscription::seen(ProviderKind::Simulated, "cus_ours".into(), snapshot(state, version), at(1))
}

fn take(mirror: Subscription, snapshot: Snapshot) -> Subscription {
    match mirror.read(snapshot, at(2)) {
        Reading::Newer(next) => *next,
        Reading::Older | Reading::Same => mirror,
    }
}

fn any_state() -> impl Strategy<Value = providers::State> {
    use providers::State::*;
    prop::sample::select(vec![Pending, Trialing, Active, PastDue, Paused, NonRenewing, Ended])
}

proptest! {
    /// Events come late, twice and out of order: what stands at the end is what the newest reading said.
    #[test]
    fn invariant_9_readings_in_any_order_and_number_leave_the_same_state(
        states in prop::collection::vec(any_state(), 1..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..24),
    ) {
        let all: Vec<_> = (1_i64..).zip(&states).map(|(version, state)| snapshot(*state, version)).collect();
        let mut seen = mirror(providers::State::Active, 0);
        for index in order {
            seen = take(seen, index.get(&all).clone());
        }
        for last in [all.len() - 1, 0, all.len() - 1] {
            seen = take(seen, all[last].clone());
        }
        prop_assert_eq!(seen.state, State::from(states[states.len() - 1]));
        prop_assert_eq!(seen.provider_version, states.len() as i64);
    }

    #[test]
    fn a_reading_taken_twice_says_nothing_new(state in any_state(), version in 1_i64..100) {
        let once = take(mirror(providers::State::Active, 0), snapshot(state, version));
        prop_assert_eq!(once.read(snapshot(state, version), at(9)), Reading::Same);
    }
}

#[test]
fn a_wish_keeps_its_first_date_until_it_is_taken_back() {
    let s = mirror(providers::State::Active, 1);
    let wished = s.wished(at(3), at(4)).unwrap();
    assert_eq!(wished.wished(at(4), at(5)), None, "a later wish changes nothing");
    assert_eq!(wished.wished(at(2), at(5)).unwrap().wish.unwrap().at, at(2));
    let cancelled = take(wished, snapshot(providers::State::NonRenewing, 2));
    assert_eq!(cancelled.wish.unwrap().at, at(3));
    assert_eq!(take(cancelled, snapshot(providers::State::Active, 3)).wish, None);
}

#[test]
fn an_ended_subscription_that_lives_again_is_a_win_back() {
    let ended = mirror(providers::State::Ended, 5);
    assert!(take(ended, snapshot(providers::State::Active, 6)).reactivated);
    assert!(!State::Ended.leads_to(State::Trialing) && State::Ended.leads_to(State::Active));
}

#[test]
fn what_somebody_else_steers_is_left_alone() {
    let plain = mirror(providers::State::Active, 1);
    assert_eq!(plain.hands_off(), None);
    assert_eq!(Subscription { item_count: 2, ..plain.clone() }.hands_off(), Some("several_items"));
    assert_eq!(
        Subscription { schedule_attached: true, ..plain.clone() }.hands_off(),
        Some("schedule_attached")
    );
    assert_eq!(plain.lost(at(9)).hands_off(), Some("unknown_state"));
    let due = Subscription { disputed: true, ..mirror(providers::State::PastDue, 1) };
    assert_eq!(due.hands_off(), Some("disputed"));
}

#[test]
fn memory_is_bounded_and_knows_the_newest() {
    let mut s = mirror(providers::State::Active, 1);
    for i in 0..100 {
        s = s.telling(&format!("evt_{i}"), true).unwrap();
    }
    assert_eq!(
        (s.told.len(), s.telling("evt_99", true), s.telling("evt_71", true)),
        (REMEMBERED, None, None)
    );
}
