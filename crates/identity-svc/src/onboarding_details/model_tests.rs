use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(n: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + n).unwrap()
}

fn proof(step: StepKey, source: &str, holds: bool, n: i64) -> Proof {
    Proof {
        step,
        source: source.into(),
        kind: "some.event".into(),
        about: source.into(),
        holds,
        sequence: n,
        seen_at: at(n),
    }
}

fn state(o: &Onboarding, key: StepKey) -> StepState {
    o.step(key).unwrap().state
}

fn answers() -> Map<String, Value> {
    json!({ "answers": { "goal": "fewer cancellations" } }).as_object().unwrap().clone()
}

/// As it is when everything up to and without this step is done.
fn before(key: StepKey) -> Onboarding {
    StepKey::ALL
        .into_iter()
        .take_while(|k| *k != key)
        .fold(Onboarding::new("Telco".into()), |o, k| o.seen(proof(k, "a", true, 1), at(1)))
}

#[test]
fn steps_open_one_after_another() {
    let new = Onboarding::new("Telco".into());
    assert_eq!(
        (new.state, new.percent(), new.current()),
        (State::NotStarted, 0, Some(StepKey::CompanyProfile))
    );
    let incomplete = new.profile("Telco", vec!["domain".into()], 1, at(1));
    assert_eq!((incomplete.state, incomplete.missing.len()), (State::NotStarted, 1));
    let profiled = incomplete.profile("Telco", vec![], 2, at(2));
    assert_eq!(state(&profiled, StepKey::CompanyProfile), StepState::Completed);
    assert_eq!(state(&profiled, StepKey::Intake), StepState::Available);
    assert_eq!(state(&profiled, StepKey::BillingConnected), StepState::Locked);
    assert_eq!((profiled.state, profiled.percent()), (State::InProgress, 8));
    assert_eq!(profiled.profile("Old", vec!["domain".into()], 1, at(3)), profiled, "an older reading");
    // Billing was connected early: it counts as soon as its turn comes.
    let early = profiled.seen(proof(StepKey::BillingConnected, "stripe", true, 1), at(3));
    assert_eq!(state(&early, StepKey::BillingConnected), StepState::Locked);
    let taken =
        early.saved(StepKey::Intake, json!({ "note": "x" }).as_object().unwrap().clone(), at(4)).unwrap();
    assert_eq!(state(&taken, StepKey::Intake), StepState::InProgress);
    let answered = taken.saved(StepKey::Intake, answers(), at(5)).unwrap();
    assert_eq!(state(&answered, StepKey::Intake), StepState::Completed);
    assert_eq!(state(&answered, StepKey::BillingConnected), StepState::Completed);
    assert_eq!(answered.current(), Some(StepKey::CustomersSynced));
}

#[test]
fn a_click_is_no_evidence() {
    let o = before(StepKey::BillingConnected);
    assert_eq!(o.completed(StepKey::BillingConnected, "usr_1", at(2)), Err(Refusal::EvidenceMissing));
    assert_eq!(o.completed(StepKey::GoLive, "usr_1", at(2)), Err(Refusal::Locked));
    assert_eq!(o.skipped(StepKey::BillingConnected, "usr_1", at(2)), Err(Refusal::Required));
    assert_eq!(o.skipped(StepKey::SlackConnected, "usr_1", at(2)), Err(Refusal::Locked));
    assert_eq!(o.reopened(StepKey::BillingConnected, at(2)), Err(Refusal::WrongState));
    assert_eq!(o.saved(StepKey::GoLive, Map::new(), at(2)), Err(Refusal::Locked));
    let long = json!({ "note": "x".repeat(17_000) }).as_object().unwrap().clone();
    assert_eq!(o.saved(StepKey::Intake, long, at(2)), Err(Refusal::TooMuch));
}

#[test]
fn a_step_opens_again_when_its_last_proof_breaks() {
    let o = before(StepKey::PersonasDefined);
    let two = o.seen(proof(StepKey::BillingConnected, "b", true, 1), at(2));
    let one = two.seen(proof(StepKey::BillingConnected, "a", false, 2), at(3));
    assert_eq!(state(&one, StepKey::BillingConnected), StepState::Completed, "the other one stands");
    let none = one.seen(proof(StepKey::BillingConnected, "b", false, 2), at(4));
    assert_eq!(state(&none, StepKey::BillingConnected), StepState::InProgress);
    assert!(none.step(StepKey::BillingConnected).unwrap().reopened);
    assert_eq!(none.current(), Some(StepKey::BillingConnected));
    assert_eq!(state(&none, StepKey::CustomersSynced), StepState::Completed, "what came after stays done");
    assert_eq!(state(&none, StepKey::PersonasDefined), StepState::Available, "and what was open stays open");
    let late = none.seen(proof(StepKey::BillingConnected, "a", true, 1), at(5));
    assert_eq!(late, none, "an old word comes late");
    let back = none.seen(proof(StepKey::BillingConnected, "a", true, 3), at(6));
    assert_eq!(state(&back, StepKey::BillingConnected), StepState::Completed);
}

#[test]
fn what_a_person_takes_up_again_waits_for_them_or_for_new_proof() {
    let o = before(StepKey::GoLive);
    let open = o.reopened(StepKey::FlowPublished, at(2)).unwrap();
    assert_eq!(state(&open, StepKey::FlowPublished), StepState::InProgress);
    let saved = open.saved(StepKey::FlowPublished, Map::new(), at(3)).unwrap();
    assert_eq!(state(&saved, StepKey::FlowPublished), StepState::InProgress);
    let by_hand = open.completed(StepKey::FlowPublished, "usr_1", at(4)).unwrap();
    let step = by_hand.step(StepKey::FlowPublished).unwrap();
    assert_eq!((step.state, step.done_by.as_deref()), (StepState::Completed, Some("usr_1")));
    let by_proof = open.seen(proof(StepKey::FlowPublished, "a", true, 2), at(4));
    assert_eq!(state(&by_proof, StepKey::FlowPublished), StepState::Completed);
    let passed = before(StepKey::SlackConnected).skipped(StepKey::SlackConnected, "usr_1", at(2)).unwrap();
    assert_eq!(state(&passed, StepKey::SlackConnected), StepState::Skipped);
    assert_eq!(passed.completed(StepKey::SlackConnected, "usr_1", at(3)), Err(Refusal::EvidenceMissing));
    let connected = passed.seen(proof(StepKey::SlackConnected, "s", true, 1), at(3));
    assert_eq!(
        state(&connected, StepKey::SlackConnected),
        StepState::Completed,
        "proof completes what was skipped"
    );
}

#[test]
fn a_live_company_stays_live_and_is_warned() {
    let ready = before(StepKey::GoLive);
    assert_eq!((ready.state, ready.percent()), (State::Ready, 91));
    let live = ready.seen(proof(StepKey::GoLive, "live", true, 7), at(9));
    assert_eq!(
        (live.state, live.percent(), live.live_at, live.current()),
        (State::Live, 100, Some(at(7)), None)
    );
    assert!(live.warnings().is_empty());
    let broken = live.seen(proof(StepKey::BillingConnected, "a", false, 8), at(10));
    assert_eq!((broken.state, broken.warnings()), (State::Live, vec![StepKey::BillingConnected]));
    let optional = live.reopened(StepKey::SlackConnected, at(10)).unwrap();
    assert!(optional.warnings().is_empty());
    let not_yet = ready.seen(proof(StepKey::FlowPublished, "a", false, 8), at(10));
    assert_eq!(not_yet.state, State::InProgress);
}

#[derive(Clone, Debug)]
enum Act {
    Seen(usize, u8, bool, i64),
    Complete(usize),
    Skip(usize),
    Reopen(usize),
    Save(usize, bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..12_usize, 0..3_u8, any::<bool>(), 0..20_i64).prop_map(|(k, s, h, n)| Act::Seen(k, s, h, n)),
        1 => (0..12_usize).prop_map(Act::Complete),
        1 => (0..12_usize).prop_map(Act::Skip),
        1 => (0..12_usize).prop_map(Act::Reopen),
        1 => (0..12_usize, any::<bool>()).prop_map(|(k, a)| Act::Save(k, a)),
    ];
    proptest::collection::vec(act, 0..60)
}

fn done(o: &Onboarding, act: &Act, n: i64) -> Onboarding {
    let key = |k: &usize| StepKey::ALL[*k];
    let result = match act {
        Act::Seen(k, source, holds, sequence) => {
            Ok(o.seen(proof(key(k), &source.to_string(), *holds, *sequence), at(n)))
        }
        Act::Complete(k) => o.completed(key(k), "usr_1", at(n)),
        Act::Skip(k) => o.skipped(key(k), "usr_1", at(n)),
        Act::Reopen(k) => o.reopened(key(k), at(n)),
        Act::Save(k, given) => {
            let gone = json!({ "answers": null }).as_object().unwrap().clone();
            o.saved(key(k), if *given { answers() } else { gone }, at(n))
        }
    };
    result.unwrap_or_else(|_| o.clone())
}

/// Whether the machine of §10.7 has this arrow.
fn may(from: StepState, to: StepState) -> bool {
    use StepState::{Available, Completed, InProgress, Locked, Skipped};
    from == to
        || match from {
            // At once, where proof was there before its turn came.
            Locked => matches!(to, Available | Completed),
            Available => matches!(to, InProgress | Completed | Skipped),
            InProgress => matches!(to, Completed | Skipped),
            Completed => to == InProgress,
            Skipped => matches!(to, InProgress | Completed),
        }
}

proptest! {
    #[test]
    fn whatever_happens_the_laws_hold(acts in acts()) {
        let mut o = Onboarding::new("Telco".into());
        for (n, act) in (100..).zip(&acts) {
            let next = done(&o, act, n);
            for (old, new) in o.steps.iter().zip(&next.steps) {
                prop_assert!(may(old.state, new.state), "{:?}: {:?} to {:?} by {act:?}", old.key, old.state, new.state);
                prop_assert!(new.state != StepState::Skipped || new.key.is_optional());
                prop_assert!(new.state != StepState::Completed || next.proven(new.key), "{:?} without proof", new.key);
                prop_assert_eq!(new.state.is_done(), new.done_at.is_some());
            }
            prop_assert!(o.live_at.is_none() || next.live_at == o.live_at, "live for good");
            prop_assert_eq!(next.state == State::Live, next.live_at.is_some());
            prop_assert_eq!(next.percent() == 100, next.current().is_none());
            // The first step that is open can be worked on.
            let current = next.current().and_then(|k| next.step(k)).map(|s| s.state);
            prop_assert!(current != Some(StepState::Locked));
            // Once more is once.
            prop_assert_eq!(&done(&next, act, n), &next);
            o = next;
        }
    }

    #[test]
    fn the_order_in_which_words_arrive_does_not_matter(
        words in proptest::collection::vec((0..12_usize, 0..2_u8, any::<bool>(), 0..50_i64), 0..25),
        seed in any::<u64>(),
    ) {
        let mut unique = std::collections::BTreeMap::new();
        for (k, s, h, n) in words {
            unique.entry((k, s, n)).or_insert(h);
        }
        let words: Vec<_> = unique.into_iter().collect();
        let all = |order: Vec<usize>| order.into_iter().fold(Onboarding::new("T".into()), |o, i| {
            let ((k, s, n), h) = words[i];
            o.seen(proof(StepKey::ALL[k], &s.to_string(), h, n), at(0))
        });
        let forwards = all((0..words.len()).collect());
        let mut shuffled: Vec<usize> = (0..words.len()).collect();
        shuffled.sort_by_key(|i| (*i as u64 + 1).wrapping_mul(seed | 1));
        let other = all(shuffled);
        for key in StepKey::ALL {
            prop_assert_eq!(forwards.proven(key), other.proven(key), "{:?}", key);
        }
    }
}
