//! Webhooks: believed only when signed, kept once, worked on to the same end however they come.

use billing_svc::inbound::{Call, Filter, State};
use billing_svc::providers::simulated::SIGNATURE;
use billing_svc::providers::{Act, IdempotencyKey, ProviderKind};
use billing_svc::subscription;
use futures_util::future::join_all;
use kit::{Clock, Code, Coded, PageRequest, Timestamp};

use super::world::{COMPANY_KEY, World, webhook_secret};

fn notice(w: &World, event: &str, name: &str, subscription: &str, at: Timestamp) -> Call {
    let body = serde_json::json!({
        "id": event, "type": name, "subscription": subscription, "occurred_at": w.clock.now().to_string(),
    });
    let body = body.to_string().into_bytes();
    let signature = connect::sign::sign_stripe(&webhook_secret(), at, &body);
    Call {
        provider: "simulated".into(),
        company_key: COMPANY_KEY.into(),
        headers: vec![(SIGNATURE.into(), signature)],
        body: body.into(),
    }
}

async fn states(w: &World) -> Vec<State> {
    let page = w.rooms.inbound.list(&w.caller, &Filter::default(), &PageRequest::new(0, "")).await.unwrap();
    page.items.into_iter().map(|e| e.body.state).collect()
}

async fn cancel_at_provider(w: &World, id: &str) {
    let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
    let cancel = Act::CancelAtPeriodEnd { feedback: None };
    provider.apply(&id.into(), &cancel, &IdempotencyKey::new("theirs")).await.unwrap();
}

#[tokio::test]
async fn a_signed_event_moves_the_mirror() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    cancel_at_provider(&w, "sub_ada").await;
    let call = notice(&w, "evt_1", "subscription.changed", "sub_ada", w.clock.now());
    let (id, duplicate) = w.rooms.inbound.receive(&call).await.unwrap();
    assert!(!duplicate);
    assert_eq!(w.rooms.inbound.receive(&call).await.unwrap(), (id, true), "the same again is known");
    assert_eq!(w.rooms.worker.round().await.unwrap(), 1);
    let mirror = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap();
    assert_eq!(mirror.body.state, subscription::State::NonRenewing);
    assert_eq!(states(&w).await, [State::Processed]);
    assert_eq!(w.rooms.worker.round().await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_signed_well_leaves_nothing() {
    let w = World::start().await;
    w.subscriber("ada").await;
    let good = notice(&w, "evt_1", "subscription.changed", "sub_ada", w.clock.now());
    let old = kit::time::add_days(w.clock.now(), -1);
    let mut forged = good.clone();
    forged.body = [&good.body[..], b" "].concat().into();
    let unsigned = Call { headers: Vec::new(), ..good.clone() };
    for bad in [forged, unsigned, notice(&w, "evt_2", "subscription.changed", "sub_ada", old)] {
        let refused = w.rooms.inbound.receive(&bad).await.unwrap_err();
        assert_eq!(refused.code(), (Code::Unauthenticated, "bad_signature"));
    }
    for nobody in [
        Call { company_key: "cpk_2".into(), ..good.clone() },
        Call { provider: "paypal".into(), ..good.clone() },
    ] {
        assert_eq!(w.rooms.inbound.receive(&nobody).await.unwrap_err().slug(), "not_found");
    }
    let elsewhere = Call { provider: "stripe".into(), ..good };
    assert_eq!(w.rooms.inbound.receive(&elsewhere).await.unwrap_err().slug(), "bad_signature");
    assert_eq!(states(&w).await, []);
}

#[tokio::test]
async fn invariant_9_events_doubled_and_replayed_leave_the_same_state_and_are_told_once() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let calls: Vec<_> = (0..8)
        .map(|n| {
            let name = if n % 2 == 0 { "payment.failed" } else { "subscription.changed" };
            notice(&w, &format!("evt_{}", n % 4), name, "sub_ada", w.clock.now())
        })
        .collect();
    let received = join_all(calls.iter().map(|c| w.rooms.inbound.receive(c))).await;
    let new = received.iter().filter(|r| !r.as_ref().unwrap().1).count();
    assert_eq!(new, 4, "each event is kept once, however many come at once");
    while w.rooms.worker.round().await.unwrap() > 0 {}
    let once = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap().body;
    let told = w.told_times("subscriptions", "payment.failed").await;
    for call in &calls {
        let (id, _) = w.rooms.inbound.receive(call).await.unwrap();
        w.rooms.inbound.replay(&w.caller, &id).await.unwrap();
    }
    while w.rooms.worker.round().await.unwrap() > 0 {}
    let twice = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap().body;
    assert_eq!(twice, once);
    assert_eq!(w.told_times("subscriptions", "payment.failed").await, told);
    assert!(states(&w).await.iter().all(|s| *s == State::Processed));
}

#[tokio::test]
async fn events_wait_for_a_provider_that_is_down_and_die_late() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    cancel_at_provider(&w, "sub_ada").await;
    let call = notice(&w, "evt_1", "subscription.changed", "sub_ada", w.clock.now());
    let (id, _) = w.rooms.inbound.receive(&call).await.unwrap();
    w.faults.down(true);
    w.rooms.worker.round().await.unwrap();
    assert_eq!(states(&w).await, [State::Failed]);
    let connection = w.rooms.connections.get(&w.scope, ProviderKind::Simulated).await.unwrap();
    assert_eq!(connection.body.status, billing_svc::connections::Status::Degraded);
    assert_eq!(w.rooms.worker.round().await.unwrap(), 0, "not before it is due again");
    for _ in 0..20 {
        w.minutes_later(180);
        w.rooms.worker.round().await.unwrap();
    }
    assert_eq!(states(&w).await, [State::Dead]);
    w.faults.down(false);
    w.rooms.inbound.replay(&w.caller, &id).await.unwrap();
    w.rooms.worker.round().await.unwrap();
    assert_eq!(states(&w).await, [State::Processed]);
    let mirror = w.rooms.subscriptions.get(&w.scope, &s.id).await.unwrap();
    assert_eq!(mirror.body.state, subscription::State::NonRenewing);
}

#[tokio::test]
async fn an_event_about_something_new_brings_customer_and_subscription() {
    let w = World::start().await;
    let fixtures = billing_svc::providers::simulated::Fixtures {
        rows: vec![super::world::row("new")],
        prices: Vec::new(),
    };
    w.import(fixtures).await;
    for (event, subject) in [("evt_1", "sub_new"), ("evt_2", "sub_nobody_knows")] {
        let call = notice(&w, event, "subscription.changed", subject, w.clock.now());
        w.rooms.inbound.receive(&call).await.unwrap();
    }
    w.rooms.worker.round().await.unwrap();
    let mut ends = states(&w).await;
    ends.sort_by_key(|s| s.as_str());
    assert_eq!(ends, [State::Ignored, State::Processed]);
    let customer = w.rooms.customers.named(&w.scope, "new").await.unwrap();
    assert_eq!((customer.body.email.as_str(), customer.body.subscription_count), ("new@example.com", 1));
}

#[tokio::test]
async fn dead_events_are_found_by_what_they_are_and_replayed_by_when_they_came() {
    let w = World::start().await;
    w.subscriber("ada").await;
    let noon = w.clock.now();
    for n in 0..7 {
        let name = if n % 2 == 0 { "payment.failed" } else { "subscription.changed" };
        let call = notice(&w, &format!("evt_{n}"), name, "sub_ada", w.clock.now());
        w.rooms.inbound.receive(&call).await.unwrap();
        w.minutes_later(10);
    }
    w.faults.down(true);
    for _ in 0..20 {
        w.rooms.worker.round().await.unwrap();
        w.minutes_later(180);
    }
    w.faults.down(false);
    let dead = Filter { states: vec![State::Dead], ..Filter::default() };
    let count = async |filter: &Filter| {
        w.rooms.inbound.list(&w.caller, filter, &PageRequest::new(0, "")).await.unwrap().items.len()
    };
    assert_eq!(count(&dead).await, 7);
    assert_eq!(count(&Filter { name: Some("payment.failed".into()), ..dead.clone() }).await, 4);
    assert_eq!(count(&Filter { provider: Some(ProviderKind::Stripe), ..dead.clone() }).await, 0);

    // The second and the third, as they came.
    let minutes = |n: i64| noon.checked_add(jiff::SignedDuration::from_mins(n)).ok();
    let span = Filter { since: minutes(5), until: minutes(25), ..dead.clone() };
    assert_eq!(count(&span).await, 2);
    assert_eq!(w.rooms.inbound.replay_span(&w.caller, &span).await.unwrap(), (2, false));
    assert_eq!(
        w.rooms.inbound.replay_span(&w.caller, &span).await.unwrap(),
        (0, false),
        "none is dead there now"
    );
    while w.rooms.worker.round().await.unwrap() > 0 {}
    assert_eq!(count(&dead).await, 5);
    assert_eq!(w.told_times("inbound_events", "audit.recorded").await, 1, "one act, one entry");
    for nonsense in [Filter { since: None, ..span.clone() }, Filter { since: minutes(30), ..span }] {
        let refused = w.rooms.inbound.replay_span(&w.caller, &nonsense).await.unwrap_err();
        assert_eq!(refused.slug(), "invalid_request");
    }
}

#[tokio::test]
async fn an_unknown_type_is_kept_and_ignored() {
    let w = World::start().await;
    let body =
        serde_json::json!({ "id": "evt_1", "type": "moon.rose", "occurred_at": w.clock.now().to_string() });
    let body = body.to_string().into_bytes();
    let signature = connect::sign::sign_stripe(&webhook_secret(), w.clock.now(), &body);
    let call = Call {
        provider: "simulated".into(),
        company_key: COMPANY_KEY.into(),
        headers: vec![(SIGNATURE.into(), signature)],
        body: body.into(),
    };
    w.rooms.inbound.receive(&call).await.unwrap();
    assert_eq!(states(&w).await, [State::Ignored]);
    assert_eq!(w.rooms.worker.round().await.unwrap(), 0);
}
