use proptest::prelude::*;

use super::super::model::Step;
use super::super::model::tests::{plan, step};
use super::*;
use crate::providers::{self, ProviderKind};
use crate::subscription::tests::snapshot;

fn now() -> Timestamp {
    "2026-03-01T09:30:00Z".parse().unwrap()
}

fn past_due() -> Subscription {
    let snapshot = snapshot(providers::State::PastDue, 1);
    let seen = Subscription::seen(ProviderKind::Simulated, "cus_1".into(), snapshot, now());
    Subscription { past_due_since: Some(now()), cancel_at: None, ..seen }
}

fn case(plan: &Plan) -> Case {
    let pin = Pin { campaign_id: "rcm_1".into(), number: 1, plan_hash: plan.hash() };
    let mut case = Case::opened("sub_1", &past_due(), Vec::new(), Some((pin, plan, &TimeZone::UTC)), now());
    case.max_mails = 4;
    case.gives_up_at = kit::time::add_days(now(), 30);
    case
}

fn later(days: i64) -> Timestamp {
    kit::time::add_days(now(), days)
}

#[test]
fn a_wish_to_cancel_counts_before_the_provider_shows_it() {
    assert_eq!(seen(&past_due()), Seen::StillDue);
    let wished = past_due().wished(now(), now()).unwrap();
    assert_eq!(seen(&wished), Seen::Left);
    let ended = |s: Subscription| Subscription { state: SubscriptionState::Ended, ..s };
    assert_eq!(seen(&ended(past_due())), Seen::Ended, "by the provider, for want of payment");
    assert_eq!(seen(&ended(wished)), Seen::Left);
    for (state, means) in [
        (SubscriptionState::Active, Seen::Paid),
        (SubscriptionState::NonRenewing, Seen::Left),
        (SubscriptionState::Paused, Seen::Paused),
        (SubscriptionState::Unknown, Seen::Unsure),
    ] {
        assert_eq!(seen(&Subscription { state, ..past_due() }), means);
    }
}

#[test]
fn after_a_pause_nobody_gets_the_mails_of_three_days_at_once() {
    let steps = vec![step(StepKind::RetryHint, 0), step(StepKind::Mail, 3), step(StepKind::Mail, 5)];
    let mut case = case(&plan(steps));
    assert_eq!(case.next(Seen::StillDue, true, later(6)), Next::Wait(case_wait(later(6))), "it is held");
    assert_eq!(case.next(Seen::StillDue, false, later(6)), Next::Skip(0, "overtaken"));
    case = case.skipped(0, "overtaken", later(6));
    assert_eq!(case.next(Seen::StillDue, false, later(6)), Next::Skip(1, "overtaken"));
    case = case.skipped(1, "overtaken", later(6));
    assert_eq!(case.next(Seen::StillDue, false, later(6)), Next::Take(2));
    case = case.taken(2, "", later(6));
    assert_eq!(case.next(Seen::StillDue, false, later(6)), Next::Wait(later(30)));
    assert_eq!(case.next(Seen::StillDue, false, later(30)), Next::End(State::Exhausted, "gave_up"));
}

fn case_wait(from: Timestamp) -> Timestamp {
    from.checked_add(jiff::SignedDuration::from_mins(HELD_MINUTES)).unwrap()
}

#[test]
fn mails_beyond_the_limit_are_left_out_and_notices_are_not_mails() {
    let steps = vec![step(StepKind::Mail, 0), step(StepKind::Mail, 1), step(StepKind::InAppNotice, 2)];
    let mut case = case(&plan(steps));
    case.max_mails = 1;
    case = case.taken(0, "", now());
    assert_eq!((case.state, case.mails), (State::Contacting, 1));
    assert_eq!(case.next(Seen::StillDue, false, later(1)), Next::Skip(1, "mail_limit"));
    case = case.skipped(1, "mail_limit", later(1));
    assert_eq!(case.next(Seen::StillDue, false, later(2)), Next::Take(2));
    assert_eq!(case.taken(2, "", later(2)).mails, 1);
}

#[test]
fn a_dispute_stops_unless_the_campaign_says_otherwise() {
    let mut case = case(&plan(vec![step(StepKind::Mail, 0)]));
    assert_eq!(case.next(Seen::Disputed, false, now()), Next::End(State::Stopped, "disputed"));
    case.go_on_when_disputed = true;
    assert_eq!(case.next(Seen::Disputed, false, now()), Next::Take(0));
}

#[test]
fn without_a_campaign_nobody_is_contacted_and_the_value_counts() {
    let case = Case::opened("sub_1", &past_due(), Vec::new(), None, now());
    assert_eq!(case.next(Seen::StillDue, false, now()), Next::Wait(later(30)));
    let paid = case.ended(State::Recovered, "paid", false, later(2));
    assert_eq!((paid.amount_paid, paid.holds, paid.next_at), (Some(case.amount_due), None, None));
}

fn any_seen() -> impl Strategy<Value = Seen> {
    // Mostly still due, or no walk would be long.
    prop_oneof![
        12 => Just(Seen::StillDue),
        1 => Just(Seen::Paid),
        1 => Just(Seen::Left),
        1 => Just(Seen::Paused),
        1 => Just(Seen::Disputed),
        1 => Just(Seen::Ended),
        2 => Just(Seen::Unsure),
    ]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        Just(StepKind::RetryHint),
        Just(StepKind::Mail),
        Just(StepKind::InAppNotice),
        Just(StepKind::LastChanceOffer)
    ];
    let step = (kind, 0_u32..28, prop::option::of(0_u32..24))
        .prop_map(|(kind, day, hour)| Step { hour, ..step(kind, day) });
    prop::collection::vec(step, 0..8).prop_map(|mut steps| {
        steps.sort_by_key(|s| s.day);
        steps
    })
}

proptest! {
    /// Whatever is seen and whenever it is looked, a case keeps to §10.12: it ends once and for good, takes a step at
    /// most once and not before its time, sends no more than it may, and takes none on any other sight than a payment
    /// that is still due.
    #[test]
    fn a_case_keeps_its_rules_whatever_happens(
        steps in any_steps(),
        max_mails in 0_u32..5,
        looks in prop::collection::vec((any_seen(), prop::bool::weighted(0.2), 0_i64..60, prop::bool::weighted(0.1)), 1..60),
    ) {
        let mut case = case(&plan(steps));
        case.max_mails = max_mails;
        let mut at = now();
        for (seen, held, hours, offer_fails) in looks {
            at = at.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
            let before = case.clone();
            if before.state.is_final() {
                // Nothing moves it any more.
                prop_assert_eq!(&case.ended(State::Recovered, "paid", false, at), &before);
                prop_assert!(case.next_at.is_none() && case.ended_at.is_some());
                continue;
            }
            let next = case.next(seen, held, at);
            prop_assert_eq!(next, case.next(seen, held, at), "the same sight, the same answer");
            case = match next {
                Next::End(state, reason) => case.ended(state, reason, false, at),
                Next::Wait(until) => {
                    prop_assert!(until > at, "it is looked at later, not at once again");
                    prop_assert!(until <= case.gives_up_at);
                    case.waiting(until)
                }
                Next::Skip(n, why) => case.skipped(n, why, at),
                Next::Take(n) => {
                    prop_assert!(seen == Seen::StillDue && !held, "taken on {seen:?}, held {held}");
                    prop_assert_eq!(case.steps[n].result, Outcome::Waiting);
                    prop_assert!(case.steps[n].due_at <= at && at < case.gives_up_at);
                    if offer_fails { case.skipped(n, "discount_running", at) } else { case.taken(n, "", at) }
                }
            };
            prop_assert!(before.state == case.state || before.state.leads_to(case.state));
            prop_assert!(case.mails <= max_mails);
            let taken = |c: &Case| c.steps.iter().filter(|s| s.result != Outcome::Waiting).count();
            prop_assert!(taken(&case) <= taken(&before) + 1);
            prop_assert_eq!(case.amount_paid.is_some(), case.state == State::Recovered);
        }
    }

    /// Looked at often enough, every case comes to an end, however it is paused meanwhile.
    #[test]
    fn every_case_ends(steps in any_steps(), held in any::<bool>()) {
        let mut case = case(&plan(steps));
        let mut at = now();
        for _ in 0..10_000 {
            case = match case.next(Seen::StillDue, held, at) {
                Next::End(state, reason) => { case = case.ended(state, reason, true, at); break }
                Next::Wait(until) => { at = until; case.waiting(until) }
                Next::Skip(n, why) => case.skipped(n, why, at),
                Next::Take(n) => case.taken(n, "", at),
            };
        }
        prop_assert_eq!((case.state, case.holds), (State::Exhausted, Some(true)));
        prop_assert_eq!(at, case.gives_up_at);
    }
}
