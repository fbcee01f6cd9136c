//! What random histories found, each mended and kept from coming back.

use billing_svc::offer::{Draft, Stacking, Terms};
use billing_svc::providers::{Act, IdempotencyKey, ProviderKind};
use billing_svc::redemption::State;
use kit::{Caller, Mode, Scope};

use super::Fault;
use super::world::{World, draft, eur, percent};

/// Does something at the provider behind everybody's back.
async fn at_provider(w: &World, id: &str, act: &Act, key: &str) {
    w.faults.aside(true);
    let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
    provider.apply(&id.into(), act, &IdempotencyKey::new(key)).await.unwrap();
    w.faults.aside(false);
}

#[tokio::test]
async fn a_request_that_arrives_late_is_waited_for_before_anything_is_given_back() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    w.faults.down(true);
    assert_eq!(w.claim(&shown).await.unwrap().body.state, State::Claimed);
    w.minutes_later(9);
    w.faults.down(false);
    w.faults.next(&[Fault::Late]);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    w.minutes_later(1);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    // Ten minutes are over, but what was asked a minute ago may still be done.
    assert_eq!(w.redemption(&shown.id).await.state, State::Applying);
    for (subscription, act, key) in w.faults.on_the_way() {
        at_provider(&w, subscription.as_str(), &act, key.as_str()).await;
    }
    w.minutes_later(1);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    assert_eq!(w.redemption(&shown.id).await.state, State::Verified);
    assert_eq!(w.at_provider("sub_ada").await.discounts.len(), 1);
}

#[tokio::test]
async fn what_was_claimed_is_not_given_days_later() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    w.faults.down(true);
    w.claim(&shown).await.unwrap();
    w.minutes_later(2 * 24 * 60);
    w.faults.down(false);
    w.rooms.redemptions.finish_stuck().await.unwrap();
    let ended = w.redemption(&shown.id).await;
    assert_eq!((ended.state, ended.failure.as_str()), (State::Reversed, "too_late"));
    assert_eq!(w.faults.asked(), []);
}

#[tokio::test]
async fn an_offer_waits_for_another_one_of_the_subscription_that_is_not_settled() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let merged = |terms| Draft { stacking: Stacking::Merge, ..draft(terms) };
    // Both of the same cut: what the first did could not be told from what the second does.
    let first = w.present(&w.offer(merged(percent(20, 3))).await, &s).await;
    let second = w.present(&w.offer(merged(percent(20, 6))).await, &s).await;
    w.faults.next(&[Fault::NoAnswer]);
    assert_eq!(w.claim(&first).await.unwrap().body.state, State::Applying);
    assert_eq!(w.claim(&second).await.unwrap().body.state, State::Claimed);
    for _ in 0..2 {
        w.minutes_later(1);
        w.rooms.redemptions.finish_stuck().await.unwrap();
    }
    let (first, second) = (w.redemption(&first.id).await, w.redemption(&second.id).await);
    assert_eq!((first.state, second.state), (State::Verified, State::Verified));
    assert_ne!(first.effect, second.effect);
    assert_eq!(w.at_provider("sub_ada").await.discounts.len(), 2);
}

#[tokio::test]
async fn of_two_that_changed_the_same_thing_the_later_one_is_taken_back_first() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let before = w.at_provider("sub_ada").await.period_end;
    let days = || draft(Terms::TermExtension { days: 10 });
    let first = w.claim(&w.present(&w.offer(days()).await, &s).await).await.unwrap();
    let second = w.claim(&w.present(&w.offer(days()).await, &s).await).await.unwrap();
    let early = w.rooms.redemptions.reverse(&w.caller, &first.id, "a mistake").await.unwrap_err();
    assert_eq!(early.slug(), "later_offer_stands");
    for r in [&second, &first] {
        let reversed = w.rooms.redemptions.reverse(&w.caller, &r.id, "a mistake").await.unwrap();
        assert_eq!(reversed.body.state, State::Reversed);
    }
    assert_eq!(w.at_provider("sub_ada").await.period_end, before);
}

#[tokio::test]
async fn a_credit_is_taken_back_also_from_one_who_left() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let shown = w.present(&w.offer(draft(Terms::Credit { amount: eur(700) })).await, &s).await;
    let done = w.claim(&shown).await.unwrap();
    assert_eq!(done.body.state, State::Verified);
    at_provider(&w, "sub_ada", &Act::CancelAtPeriodEnd { feedback: None }, "theirs").await;
    w.minutes_later(40 * 24 * 60);
    let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await.unwrap();
    assert_eq!(reversed.body.state, State::Reversed);
    let booked = w.books.contract(&w.scope, "sub_ada", kit::Clock::now(&w.clock)).await.unwrap().body;
    assert!(booked.ended_at.is_some() && booked.credits.is_empty());
}

#[tokio::test]
async fn an_undo_that_met_a_failure_of_the_provider_s_is_asked_for_under_the_next_key() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let done = w.claim(&w.present(&w.offer(draft(percent(20, 3))).await, &s).await).await.unwrap();
    w.faults.next(&[Fault::NoAnswer]);
    let failed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await.unwrap();
    assert_eq!(failed.body.state, State::Failed);
    w.minutes_later(1);
    assert_eq!(w.rooms.redemptions.finish_stuck().await.unwrap(), 1);
    assert_eq!(w.redemption(&done.id).await.state, State::Reversed);
    let keys: Vec<_> = w.faults.asked().into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, [done.id.clone(), format!("{}:undo", done.id), format!("{}:undo:1", done.id)]);
}

#[tokio::test]
async fn those_that_cannot_go_on_keep_no_other_company_waiting() {
    let mut w = World::start().await;
    let ours = (w.scope.clone(), w.caller.clone());
    w.scope = Scope::new("com_2", Mode::Live);
    w.caller = Caller { scope: Some(w.scope.clone()), ..ours.1.clone() };
    w.connect(&w.caller).await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let mut shown = Vec::new();
    for n in 0..101 {
        let s = w.subscriber(&format!("c{n}")).await;
        shown.push(w.present(&offer, &s).await);
    }
    w.faults.down(true);
    for r in &shown {
        w.claim(r).await.unwrap();
    }
    w.rooms.connections.remove(&w.caller, ProviderKind::Simulated).await.unwrap();
    (w.scope, w.caller) = ours;
    w.faults.down(false);
    let s = w.subscriber("ada").await;
    let last = w.present(&w.offer(draft(percent(20, 3))).await, &s).await;
    w.faults.next(&[Fault::NoAnswer]);
    w.claim(&last).await.unwrap();
    w.minutes_later(1);
    assert_eq!(w.rooms.redemptions.finish_stuck().await.unwrap(), 1);
    assert_eq!(w.redemption(&last.id).await.state, State::Verified);
}
