//! Webhooks that never arrive, come in another version, or tell of money that went back.

use billing_svc::connections::{Keys, SyncState};
use billing_svc::inbound::{Call, Filter, State};
use billing_svc::providers::ProviderKind;
use billing_svc::subscription;
use kit::{Caller, Mode, PageRequest, Scope};
use serde_json::json;
use testkit::stripe::FakeStripe;

use super::world::{COMPANY_KEY, World};

const STRIPE: ProviderKind = ProviderKind::Stripe;

/// A company in test mode whose subscribers are read in.
async fn company(fake: &FakeStripe, subscribers: usize) -> (World, Vec<String>) {
    let mut w = World::start_with_stripe(fake).await;
    w.scope = Scope::new("com_1", Mode::Test);
    w.caller = Caller { scope: Some(w.scope.clone()), ..w.caller.clone() };
    let product = fake.add_product("Fibre");
    let price = fake.add_price(&product, 2_000, "eur", "month");
    let ids: Vec<_> = (0..subscribers)
        .map(|n| fake.add_subscription(&fake.add_customer(&format!("c{n}@example.com"), "Ada"), &price))
        .collect();
    let keys = Keys {
        provider: STRIPE,
        secret: Some(fake.key()),
        webhook_secret: Some(fake.webhook_secret()),
        account_name: None,
        region: None,
        site: None,
    };
    w.rooms.connections.put(&w.caller, keys).await.unwrap();
    // What was before the sync is no news after it.
    w.minutes_later(1);
    w.rooms.connections.start_sync(&w.caller, STRIPE, None).await.unwrap();
    w.sync().await;
    let sync = w.rooms.connections.get(&w.scope, STRIPE).await.unwrap().body.sync.unwrap();
    assert_eq!(sync.state, SyncState::Done);
    w.minutes_later(1);
    (w, ids)
}

fn webhook(signature: String, body: String) -> Call {
    let headers = vec![("stripe-signature".into(), signature)];
    Call { provider: "stripe".into(), company_key: COMPANY_KEY.into(), headers, body: body.into() }
}

async fn work(w: &World) {
    while w.rooms.worker.round().await.unwrap() > 0 {}
}

async fn state(w: &World, external: &str) -> subscription::State {
    w.rooms.subscriptions.known(&w.scope, STRIPE, external).await.unwrap().unwrap().body.state
}

#[tokio::test]
async fn three_in_ten_webhooks_are_lost_and_the_mirror_ends_as_the_provider_is() {
    let fake = FakeStripe::start().await;
    let (w, ids) = company(&fake, 20).await;
    let mut lost = 0;
    for (n, id) in ids.iter().enumerate() {
        fake.act("POST", &["subscriptions", id], json!({"cancel_at_period_end": "true"}));
        let (signature, body) = fake.delivery("customer.subscription.updated").unwrap();
        if n % 10 < 3 {
            lost += 1;
        } else {
            w.rooms.inbound.receive(&webhook(signature, body)).await.unwrap();
        }
    }
    // One that is new, and one that nobody told us of at all.
    work(&w).await;
    assert_eq!(state(&w, &ids[0]).await, subscription::State::Active, "we never heard of it");
    assert_eq!(w.rooms.gaps.round().await.unwrap(), 0, "they may still be on their way");
    w.minutes_later(6);
    assert_eq!(w.rooms.gaps.round().await.unwrap(), lost);
    work(&w).await;
    for id in &ids {
        let theirs = fake.object(id).unwrap();
        assert_eq!(theirs["cancel_at_period_end"], true);
        assert_eq!(state(&w, id).await, subscription::State::NonRenewing, "{id}");
    }
    let page = PageRequest::new(200, "");
    let events = w.rooms.inbound.list(&w.caller, &Filter::default(), &page).await.unwrap().items;
    assert_eq!(events.iter().filter(|e| e.body.fetched).count() as u64, lost);
    assert!(events.iter().all(|e| e.body.state == State::Processed));

    // A webhook that arrives after all is known, and the next look finds nothing.
    let (signature, body) = fake.delivery("customer.subscription.updated").unwrap();
    assert!(w.rooms.inbound.receive(&webhook(signature, body)).await.unwrap().1);
    w.minutes_later(6);
    assert_eq!(w.rooms.gaps.round().await.unwrap(), 0);
    let watch = w.rooms.connections.get(&w.scope, STRIPE).await.unwrap().body.watch;
    assert_eq!((watch.missed, watch.failures), (lost, 0));
}

#[tokio::test]
async fn a_look_that_fails_is_made_again_and_the_connection_recovers() {
    let fake = FakeStripe::start().await;
    let (w, ids) = company(&fake, 1).await;
    fake.act("POST", &["subscriptions", &ids[0]], json!({"cancel_at_period_end": "true"}));
    w.minutes_later(6);
    w.faults.down(true);
    assert_eq!(w.rooms.gaps.round().await.unwrap(), 0);
    let connection = async || w.rooms.connections.get(&w.scope, STRIPE).await.unwrap().body;
    assert_eq!(connection().await.status, billing_svc::connections::Status::Degraded);
    w.faults.down(false);
    assert_eq!(w.rooms.gaps.round().await.unwrap(), 0, "not before it is due");
    w.minutes_later(11);
    assert_eq!(w.rooms.gaps.round().await.unwrap(), 1);
    assert_eq!(connection().await.status, billing_svc::connections::Status::Connected);
}

#[tokio::test]
async fn events_of_another_api_version_are_worked_on_and_noted() {
    let fake = FakeStripe::start().await;
    let (w, ids) = company(&fake, 1).await;
    fake.act("POST", &["subscriptions", &ids[0]], json!({"cancel_at_period_end": "true"}));
    let (_, body) = fake.delivery("customer.subscription.updated").unwrap();
    let mut event: serde_json::Value = serde_json::from_str(&body).unwrap();
    event["api_version"] = json!("2023-08-16");
    let body = event.to_string();
    let signature =
        connect::sign::sign_stripe(&fake.webhook_secret(), kit::Clock::now(&w.clock), body.as_bytes());
    w.rooms.inbound.receive(&webhook(signature, body)).await.unwrap();
    work(&w).await;
    assert_eq!(state(&w, &ids[0]).await, subscription::State::NonRenewing);
    let connection = w.rooms.connections.get(&w.scope, STRIPE).await.unwrap().body;
    assert!(connection.warning.contains("2023-08-16"), "{}", connection.warning);
}

#[tokio::test]
async fn a_refund_and_a_dispute_are_told_of_once_each() {
    let fake = FakeStripe::start().await;
    let (w, ids) = company(&fake, 1).await;
    let customer = fake.object(&ids[0]).unwrap()["customer"].clone();
    let now = kit::Clock::now(&w.clock);
    let event = |id: &str, kind: &str, object: serde_json::Value| {
        let body =
            json!({"id": id, "object": "event", "type": kind, "created": now.as_second(), "livemode": false,
            "data": {"object": object, "previous_attributes": {"amount_refunded": 0}}})
            .to_string();
        webhook(connect::sign::sign_stripe(&fake.webhook_secret(), now, body.as_bytes()), body)
    };
    let charge = json!({"id": "ch_1", "object": "charge", "customer": customer, "amount": 2_000,
        "amount_refunded": 700, "currency": "eur"});
    let refund =
        json!({"id": "re_1", "object": "refund", "amount": 700, "currency": "eur", "charge": "ch_1"});
    let dispute =
        json!({"id": "dp_1", "object": "dispute", "amount": 2_000, "currency": "eur", "charge": "ch_1"});
    let calls = [
        event("evt_r1", "charge.refunded", charge),
        event("evt_r2", "refund.created", refund),
        event("evt_d1", "charge.dispute.created", dispute.clone()),
        event("evt_d2", "charge.dispute.closed", dispute),
    ];
    for call in &calls {
        w.rooms.inbound.receive(call).await.unwrap();
    }
    work(&w).await;
    assert_eq!(w.told_times("inbound_events", "payment.refunded").await, 1);
    assert_eq!(w.told_times("inbound_events", "payment.disputed").await, 1);
}
