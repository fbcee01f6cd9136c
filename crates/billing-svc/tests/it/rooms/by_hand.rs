//! Promises the company keeps itself, and days and credit for nothing.

use billing_svc::offer::{Draft, Limits, State as OfferState, Terms};
use billing_svc::providers::simulated::{Fixture, Fixtures};
use billing_svc::redemption::State;
use kit::clock::Clock as _;
use kit::{Caller, Mode, Scope};

use super::Fault;
use super::world::{World, draft, eur, percent, row};

fn custom(minor: i64) -> Terms {
    Terms::Custom { reference: "gift-box".into(), cost: Some(eur(minor)) }
}

#[tokio::test]
async fn a_promise_waits_for_the_company_which_says_once_that_it_was_kept() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(custom(700))).await;
    let claimed = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!((claimed.body.state, claimed.body.cost), (State::FulfilPending, Some(eur(700))));
    assert_eq!(w.faults.asked(), [], "no provider is asked");
    let again = w.claim(&claimed).await.unwrap();
    assert_eq!(again.version, claimed.version);
    let fulfil = async || w.rooms.redemptions.fulfil(&w.caller, &claimed.id, "sent on Monday").await;
    let done = fulfil().await.unwrap();
    assert!(done.body.state == State::Verified && done.body.verified_at.is_some());
    assert_eq!(fulfil().await.unwrap().version, done.version, "saying so twice changes nothing");
    let late = w.rooms.redemptions.reject(&w.caller, &claimed.id, "out of stock").await.unwrap_err();
    assert_eq!(late.slug(), "wrong_state");
    let told = w.told("redemptions").await;
    let audit = "audit.recorded";
    assert_eq!(
        told,
        ["redemption.presented", "redemption.claimed", "redemption.changed", "redemption.verified", audit]
    );
    // Taken back later, the chance and the budget come back.
    let reversed = w.rooms.redemptions.reverse(&w.caller, &claimed.id, "a mistake").await.unwrap();
    assert_eq!(reversed.body.state, State::Reversed);
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 0);
}

#[tokio::test]
async fn what_cannot_be_kept_burns_no_chance() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let limits = Limits { total: 1, monthly_budget: Some(eur(1_000)), ..Limits::default() };
    let offer = w.offer(Draft { limits, ..draft(custom(700)) }).await;
    let claimed = w.claim(&w.present(&offer, &s).await).await.unwrap();
    let other = w.subscriber("bob").await;
    let taken = w.rooms.redemptions.present(&w.caller, &offer.id, &other.id, "fls_2", vec![]).await;
    assert_eq!(taken.unwrap_err().slug(), "limit_reached");
    let stranger = Caller { scope: Some(Scope::new("com_2", Mode::Live)), ..w.caller.clone() };
    let foreign = w.rooms.redemptions.reject(&stranger, &claimed.id, "mine").await.unwrap_err();
    assert_eq!(foreign.slug(), "not_found");
    let reject = async || w.rooms.redemptions.reject(&w.caller, &claimed.id, "out of stock").await;
    let rejected = reject().await.unwrap();
    assert_eq!(
        (rejected.body.state, rejected.body.failure.as_str()),
        (State::Rejected, "rejected_by_company")
    );
    assert_eq!(reject().await.unwrap().version, rejected.version);
    let used = w.rooms.offers.used(&w.scope, &offer.id).await.unwrap();
    assert!(used.claimed == 0 && used.spent.values().all(|minor| *minor == 0), "{used:?}");
    assert_eq!(w.claim(&w.present(&offer, &other).await).await.unwrap().body.state, State::FulfilPending);
    let late = w.rooms.redemptions.fulfil(&w.caller, &claimed.id, "").await.unwrap_err();
    assert_eq!(late.slug(), "wrong_state");
}

#[tokio::test]
async fn of_two_words_at_once_one_counts() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(Terms::Redirect { url: "https://shop.example/new".into() })).await;
    let claimed = w.claim(&w.present(&offer, &s).await).await.unwrap();
    let (fulfilled, rejected) = tokio::join!(
        w.rooms.redemptions.fulfil(&w.caller, &claimed.id, ""),
        w.rooms.redemptions.reject(&w.caller, &claimed.id, "no")
    );
    assert_eq!(usize::from(fulfilled.is_ok()) + usize::from(rejected.is_ok()), 1);
    let used = w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed;
    assert_eq!(used, i64::from(fulfilled.is_ok()));
}

#[tokio::test]
async fn only_promises_are_fulfilled_by_hand() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let verified = w.claim(&w.present(&offer, &s).await).await.unwrap();
    let refused = w.rooms.redemptions.fulfil(&w.caller, &verified.id, "").await.unwrap_err();
    assert_eq!(refused.slug(), "wrong_state");
}

#[tokio::test]
async fn a_promise_needs_no_provider_to_be_published() {
    let w = World::start().await;
    let other = Caller { scope: Some(Scope::new("com_2", Mode::Live)), ..w.caller.clone() };
    let terms = Terms::Contact { url: String::new(), within_hours: 24 };
    let offer = w.rooms.offers.create(&other, draft(terms)).await.unwrap();
    assert_eq!(offer.body.terms_text.get("en"), "We get in touch with you within 24 hours.");
    let active = w.rooms.offers.set_state(&other, &offer.id, OfferState::Active).await.unwrap();
    assert_eq!(active.body.state, OfferState::Active);
}

#[tokio::test]
async fn a_term_is_extended_once_whatever_fails_and_taken_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let end = w.at_provider("sub_ada").await.period_end.unwrap();
    let offer = w.offer(draft(Terms::TermExtension { days: 14 })).await;
    w.faults.next(&[Fault::AnswerLost]);
    let claimed = w.claim(&w.present(&offer, &s).await).await.unwrap();
    let later = kit::time::add_days(end, 14);
    assert_eq!(claimed.body.state, State::Verified);
    assert_eq!(w.at_provider("sub_ada").await.period_end, Some(later));
    assert_eq!(claimed.body.effect_ends_at, Some(kit::clock::millis(later)));
    w.rooms.redemptions.reverse(&w.caller, &claimed.id, "a mistake").await.unwrap();
    assert_eq!(w.at_provider("sub_ada").await.period_end, Some(end));
    assert_eq!(w.redemption(&claimed.id).await.state, State::Reversed);
}

#[tokio::test]
async fn a_trial_is_extended_for_those_who_are_in_one() {
    let w = World::start().await;
    let offer = w.offer(draft(Terms::TrialExtension { days: 7 })).await;
    let paying = w.subscriber("ada").await;
    let (seen, _) = w.rooms.offers.check(&w.scope, &offer.id, &paying.id, &[]).await.unwrap();
    assert_eq!(seen.reasons.iter().map(|r| r.code).collect::<Vec<_>>(), ["not_in_trial"]);

    let now = w.clock.now();
    let trial_end = kit::time::add_days(now, 5);
    let trying = Fixture { started_at: now, trial_end: Some(trial_end), ..row("bob") };
    w.import(Fixtures { rows: vec![trying], prices: Vec::new() }).await;
    let bob = w.mirrored("sub_bob").await;
    let done = w.claim(&w.present(&offer, &bob).await).await.unwrap();
    assert_eq!(done.body.state, State::Verified);
    let until = kit::time::add_days(trial_end, 7);
    assert_eq!(w.at_provider("sub_bob").await.trial_end, Some(until));
    assert_eq!(done.body.effect_ends_at, Some(kit::clock::millis(until)));
}

#[tokio::test]
async fn a_credit_is_given_once_whatever_fails_and_taken_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(Terms::Credit { amount: eur(500) })).await;
    let given = async || {
        let read = w.books.contract(&w.scope, "sub_ada", w.clock.now()).await.unwrap();
        read.body.credits.iter().map(|c| c.amount.minor).sum::<i64>()
    };
    for fault in [Fault::AnswerLost, Fault::NoAnswer, Fault::Forgets] {
        w.faults.next(&[fault]);
        let shown = w.present(&offer, &s).await;
        w.claim(&shown).await.unwrap();
        for _ in 0..3 {
            w.minutes_later(1);
            w.rooms.redemptions.finish_stuck().await.unwrap();
        }
        w.minutes_later(10);
        w.rooms.redemptions.finish_stuck().await.unwrap();
        let ended = w.redemption(&shown.id).await;
        match ended.state {
            State::Verified => {
                assert_eq!(given().await, 500, "{fault:?}");
                w.rooms.redemptions.reverse(&w.caller, &shown.id, "a mistake").await.unwrap();
            }
            State::Reversed => {}
            other => panic!("{fault:?}: {other:?}"),
        }
        assert_eq!(given().await, 0, "{fault:?}");
    }
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 0);
}
