//! Processes that die anywhere.

use std::pin::Pin;
use std::task::Poll;

use billing_svc::offer::{Draft, Limits};
use billing_svc::redemption::State;
use futures_util::{StreamExt, stream};

use super::world::{World, draft, percent};

/// Runs a future until it was woken `steps` times, then drops it where it stands, as a killed process would.
pub async fn killed_after<F: Future>(steps: usize, future: F) -> Option<F::Output> {
    let mut future: Pin<Box<F>> = Box::pin(future);
    let mut left = steps;
    std::future::poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_2_a_claim_killed_at_any_step_ends_verified_or_never_happened() {
    let w = World::start().await;
    let limits = Limits { total: 1_000, ..Limits::default() };
    let offer = w.offer(Draft { limits, ..draft(percent(20, 3)) }).await;
    let mut shown = Vec::new();
    for n in 0..90 {
        let s = w.subscriber(&format!("c{n}")).await;
        shown.push((n, w.present(&offer, &s).await));
    }
    let killed: Vec<bool> = stream::iter(&shown)
        .map(|(n, r)| {
            let w = &w;
            async move { killed_after(n + 1, w.claim(r)).await.is_none() }
        })
        .buffer_unordered(6)
        .collect()
        .await;
    assert!(killed.iter().filter(|k| **k).count() > 20, "the test must kill in the middle");
    // What a dead process held is free after its lease, and an unfinished transaction is gone.
    for _ in 0..6 {
        w.minutes_later(1);
        w.rooms.redemptions.finish_stuck().await.unwrap();
    }
    let mut verified = 0;
    for (n, r) in &shown {
        let state = w.redemption(&r.id).await.state;
        let given = w.at_provider(&format!("sub_c{n}")).await.discounts.len();
        match state {
            State::Verified => verified += 1,
            State::Presented => {}
            other => panic!("killed after {n} steps it is {other:?}"),
        }
        assert_eq!(given, usize::from(state == State::Verified), "killed after {n} steps");
    }
    let claimed = w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed;
    assert_eq!(claimed, verified);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_2_a_reversal_killed_at_any_step_is_finished() {
    let w = World::start().await;
    let offer = w.offer(draft(percent(20, 3))).await;
    let mut done = Vec::new();
    for n in 0..40 {
        let s = w.subscriber(&format!("c{n}")).await;
        done.push((n, w.claim(&w.present(&offer, &s).await).await.unwrap()));
    }
    for (n, r) in &done {
        killed_after(2 * n + 1, w.rooms.redemptions.reverse(&w.caller, &r.id, "a mistake")).await;
    }
    for _ in 0..6 {
        w.minutes_later(1);
        w.rooms.redemptions.finish_stuck().await.unwrap();
    }
    let mut standing = 0;
    for (n, r) in &done {
        let state = w.redemption(&r.id).await.state;
        assert!(matches!(state, State::Verified | State::Reversed), "{n}: {state:?}");
        let given = w.at_provider(&format!("sub_c{n}")).await.discounts.len();
        assert_eq!(given, usize::from(state == State::Verified), "killed after {n} steps");
        standing += i64::from(state == State::Verified);
    }
    assert!(standing < 40);
    assert_eq!(w.rooms.offers.used(&w.scope, &offer.id).await.unwrap().claimed, standing);
}
