//! Money back as an offer: capped, within its days, approved by an admin, and never twice.

use billing_svc::error::Error;
use billing_svc::offer::{Draft, Limits, State as OfferState, Terms};
use billing_svc::providers::Cut;
use billing_svc::providers::simulated::{Fixture, Fixtures};
use billing_svc::redemption::State;
use kit::clock::Clock as _;
use kit::{Caller, Role};

use super::Fault;
use super::world::{World, draft, eur, percent, row};

fn half(within_days: u32) -> Terms {
    Terms::Refund { cut: Cut::percent(50), within_days }
}

async fn paid_back(w: &World) -> i64 {
    let read = w.books.contract(&w.scope, "sub_ada", w.clock.now()).await.unwrap();
    read.body.invoices.iter().flat_map(|i| &i.refunds).map(|r| r.amount.minor).sum()
}

#[tokio::test]
async fn a_refund_is_given_once_whatever_fails() {
    for fault in
        [None, Some(Fault::AnswerLost), Some(Fault::NoAnswer), Some(Fault::Forgets), Some(Fault::Refuses)]
    {
        let w = World::start().await;
        let s = w.subscriber("ada").await;
        let limits = Limits { total: 1, monthly_budget: Some(eur(1_000)), ..Limits::default() };
        let offer = w.offer(Draft { limits, ..draft(half(90)) }).await;
        w.faults.next(fault.as_slice());
        let shown = w.present(&offer, &s).await;
        w.claim(&shown).await.unwrap();
        for minutes in [1, 1, 11, 1] {
            w.minutes_later(minutes);
            w.rooms.redemptions.finish_stuck().await.unwrap();
        }
        let ended = w.redemption(&shown.id).await;
        let used = w.rooms.offers.used(&w.scope, &offer.id).await.unwrap();
        match ended.state {
            State::Verified => {
                assert_eq!((paid_back(&w).await, ended.cost), (1_000, Some(eur(1_000))), "{fault:?}");
                assert_eq!(used.claimed, 1);
                let reversed = w.rooms.redemptions.reverse(&w.caller, &shown.id, "a mistake").await;
                assert_eq!(reversed.unwrap_err().slug(), "not_reversible");
                assert_eq!(w.redemption(&shown.id).await.state, State::Verified);
            }
            State::Reversed => {
                assert_eq!((paid_back(&w).await, used.claimed), (0, 0), "{fault:?}");
                assert!(used.spent.values().all(|minor| *minor == 0));
            }
            other => panic!("{fault:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_was_paid_back_stands_also_when_it_is_seen_late() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let offer = w.offer(draft(half(90))).await;
    w.faults.next(&[Fault::AnswerLost]);
    let shown = w.present(&offer, &s).await;
    w.faults.down_after_act(true);
    w.claim(&shown).await.unwrap();
    assert_eq!(w.redemption(&shown.id).await.state, State::Applying);
    // Longer than anybody waits for a read-back.
    w.minutes_later(11);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    assert_eq!(w.redemption(&shown.id).await.state, State::Failed);
    w.faults.down_after_act(false);
    w.faults.down(false);
    w.minutes_later(1);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    assert_eq!((w.redemption(&shown.id).await.state, paid_back(&w).await), (State::Verified, 1_000));
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 1, "the chance is used");
}

#[tokio::test]
async fn only_a_retention_admin_lets_refunds_out() {
    let w = World::start().await;
    let expert = Caller { role: Role::RetExp, ..w.caller.clone() };
    let offer = w.rooms.offers.create(&expert, draft(half(14))).await.unwrap();
    let activate = async |by: &Caller| w.rooms.offers.set_state(by, &offer.id, OfferState::Active).await;
    let refused = activate(&expert).await.unwrap_err();
    assert_eq!(refused.slug(), "admin_approval_needed");
    assert!(matches!(refused, Error::Fault(_)));
    let active = activate(&w.caller).await.unwrap();
    // What an admin approved is not made larger behind it.
    let more =
        |_: &billing_svc::offer::Offer| Ok(draft(Terms::Refund { cut: Cut::percent(100), within_days: 90 }));
    let changed = w.rooms.offers.update(&expert, &offer.id, active.version, more).await;
    assert_eq!(changed.unwrap_err().slug(), "admin_approval_needed");
    w.rooms.offers.set_state(&expert, &offer.id, OfferState::Paused).await.unwrap();
    assert_eq!(activate(&expert).await.unwrap_err().slug(), "admin_approval_needed");
    let plain = w.rooms.offers.create(&expert, draft(percent(20, 3))).await.unwrap();
    w.rooms.offers.set_state(&expert, &plain.id, OfferState::Active).await.unwrap();
}

#[tokio::test]
async fn a_refund_is_for_what_was_paid_within_its_days_and_no_more() {
    let w = World::start().await;
    let now = w.clock.now();
    let started = |days: i64| kit::time::add_days(now, -days);
    let rows = vec![
        Fixture { started_at: started(20), ..row("old") },
        Fixture { started_at: started(5), ..row("fresh") },
        Fixture { started_at: started(5), past_due_since: Some(started(5)), ..row("due") },
        Fixture { started_at: started(5), trial_end: Some(started(-9)), ..row("trial") },
    ];
    w.import(Fixtures { rows, prices: Vec::new() }).await;
    let offer = w.offer(draft(Terms::Refund { cut: Cut::Amount(eur(5_000)), within_days: 14 })).await;
    let reasons = async |id: &str| {
        let s = w.mirrored(&format!("sub_{id}")).await;
        let (seen, _) = w.rooms.offers.check(&w.scope, &offer.id, &s.id, &[]).await.unwrap();
        seen.reasons.iter().map(|r| r.code).collect::<Vec<_>>()
    };
    assert_eq!(reasons("old").await, ["refund_window_over"]);
    assert_eq!(reasons("due").await, ["nothing_to_refund"]);
    assert_eq!(reasons("trial").await, ["nothing_to_refund"]);
    assert_eq!(reasons("fresh").await, [] as [&str; 0]);
    let s = w.mirrored("sub_fresh").await;
    let claimed = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(
        (claimed.body.state, claimed.body.cost),
        (State::Verified, Some(eur(2_000))),
        "not above the payment"
    );
    assert_eq!(claimed.body.effect_ends_at, s.body.period_end);
    // The whole payment is back: a second refund finds nothing, and burns no chance.
    let again = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(again.body.state, State::Reversed);
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, 1);
}
