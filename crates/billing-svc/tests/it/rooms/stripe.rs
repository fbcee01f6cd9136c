//! The rooms with Stripe's wire behind them.

use billing_svc::connections::{Keys, Status, SyncState};
use billing_svc::inbound::Call;
use billing_svc::offer::{Draft, Stacking};
use billing_svc::providers::ProviderKind;
use billing_svc::redemption::State;
use billing_svc::subscription::{self, Action, Ask};
use kit::{Caller, Mode, Scope, SecretString};
use proto::events::event::Data;
use serde_json::json;
use testkit::stripe::{FakeStripe, Fault};

use super::world::{COMPANY_KEY, World, draft, percent};

fn keys(fake: &FakeStripe, secret: SecretString) -> Keys {
    Keys {
        provider: ProviderKind::Stripe,
        secret: Some(secret),
        webhook_secret: Some(fake.webhook_secret()),
        account_name: None,
        region: None,
        site: None,
    }
}

/// A company in test mode, connected, with one customer read in.
async fn connected(fake: &FakeStripe) -> (World, String, String) {
    let mut w = World::start_with_stripe(fake).await;
    w.scope = Scope::new("com_1", Mode::Test);
    w.caller = Caller { scope: Some(w.scope.clone()), ..w.caller.clone() };
    let product = fake.add_product("Fibre");
    let price = fake.add_price(&product, 2_000, "eur", "month");
    let customer = fake.add_customer("ada@example.com", "Ada");
    let external = fake.add_subscription(&customer, &price);
    let connection = w.rooms.connections.put(&w.caller, keys(fake, fake.key())).await.unwrap();
    assert_eq!(connection.body.status, Status::Connected);
    w.rooms.connections.start_sync(&w.caller, ProviderKind::Stripe, None).await.unwrap();
    w.sync().await;
    let sync = w.rooms.connections.get(&w.scope, ProviderKind::Stripe).await.unwrap().body.sync.unwrap();
    assert_eq!((sync.state, sync.customers, sync.subscriptions), (SyncState::Done, 1, 1));
    let known = w.rooms.subscriptions.known(&w.scope, ProviderKind::Stripe, &external).await.unwrap();
    let id = known.unwrap().id;
    (w, id, external)
}

#[tokio::test]
async fn a_wrong_key_is_not_stored_and_no_key_is_shown() {
    let fake = FakeStripe::start().await;
    let (w, _, _) = connected(&fake).await;
    let other = Caller { scope: Some(Scope::new("com_2", Mode::Test)), ..w.caller.clone() };
    let refused = w.rooms.connections.put(&other, keys(&fake, "sk_test_wrong".into())).await.err().unwrap();
    assert_eq!(refused.slug(), "provider_credentials_revoked");
    assert!(w.rooms.connections.list(&other).await.unwrap().is_empty());
    let live = Caller { scope: Some(Scope::new("com_1", Mode::Live)), ..w.caller.clone() };
    let mixed = w.rooms.connections.put(&live, keys(&fake, fake.key())).await;
    assert!(mixed.is_err(), "a test key is not for live mode");
    let stored = w.rooms.connections.get(&w.scope, ProviderKind::Stripe).await.unwrap().body;
    let stored = serde_json::to_string(&stored).unwrap();
    assert!(!stored.contains("sk_test_fake") && !stored.contains("whsec_fake") && stored.contains("sha256:"));
}

#[tokio::test]
async fn a_discount_stands_at_stripe_beside_the_company_s_own() {
    let fake = FakeStripe::start().await;
    let (w, id, external) = connected(&fake).await;
    fake.add_coupon("PARTNER", 10.0);
    fake.act("POST", &["subscriptions", &external], json!({"discounts": [{"coupon": "PARTNER"}]}));
    let s = w.rooms.subscriptions.refresh(&w.scope, &id).await.unwrap();
    let offer = w.offer(draft(percent(20, 3))).await;
    fake.fail_next(&[]);
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(done.body.state, State::Verified);
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!(mirror.discounts.iter().filter(|d| d.retention).count(), 1);
    assert_eq!(mirror.discounts.len(), 2);
    let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await.unwrap();
    assert_eq!(reversed.body.state, State::Reversed);
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert!(mirror.discounts.len() == 1 && !mirror.discounts[0].retention);
}

#[tokio::test]
async fn invariant_2_an_answer_that_never_comes_makes_no_second_discount() {
    let fake = FakeStripe::start().await;
    let (w, id, _) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(Draft { stacking: Stacking::Merge, ..draft(percent(20, 3)) }).await;
    let shown = w.present(&offer, &s).await;
    for silent_at in 0..6 {
        fake.fail_after(silent_at, &[Fault::SilentAfterActing]);
    }
    let mut r = w.claim(&shown).await.unwrap();
    for _ in 0..4 {
        w.minutes_later(1);
        w.rooms.redemptions.finish_stuck().await.unwrap();
        r = w.rooms.redemptions.get(&w.scope, &shown.id).await.unwrap();
    }
    assert_eq!(r.body.state, State::Verified);
    let mirror = w.rooms.subscriptions.refresh(&w.scope, &id).await.unwrap().body;
    assert_eq!(mirror.discounts.len(), 1);
}

#[tokio::test]
async fn a_signed_webhook_of_stripe_moves_the_mirror() {
    let fake = FakeStripe::start().await;
    let (w, id, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.act("POST", &["subscriptions", &external], json!({"cancel_at_period_end": "true"}));
    let (signature, body) = fake.delivery("customer.subscription.updated").unwrap();
    let call = Call {
        provider: "stripe".into(),
        company_key: COMPANY_KEY.into(),
        headers: vec![("stripe-signature".into(), signature)],
        body: body.into(),
    };
    let (_, duplicate) = w.rooms.inbound.receive(&call).await.unwrap();
    assert!(!duplicate);
    w.rooms.worker.round().await.unwrap();
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!(mirror.state, subscription::State::NonRenewing);
    let undo = Ask { action: Action::Undo, months: 0, wished_at: None, key: "k".into() };
    let back = w.rooms.subscriptions.act(&w.caller, &id, undo).await.unwrap();
    assert_eq!(back.body.state, subscription::State::Active);
}

#[tokio::test]
async fn a_dispute_that_names_nobody_is_told_of_whom_it_concerns() {
    let fake = FakeStripe::start().await;
    let (w, id, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.dispute(&external);
    let (signature, body) = fake.delivery("charge.dispute.created").unwrap();
    assert!(!body.contains("cus_"), "as at Stripe, the event names no customer");
    let headers = vec![("stripe-signature".into(), signature)];
    let call =
        Call { provider: "stripe".into(), company_key: COMPANY_KEY.into(), headers, body: body.into() };
    w.rooms.inbound.receive(&call).await.unwrap();
    // Stripe is away first: it is asked again later, and nothing is told meanwhile.
    w.faults.down(true);
    w.rooms.worker.round().await.unwrap();
    assert_eq!(w.told_times("inbound_events", "payment.disputed").await, 0);
    w.faults.down(false);
    w.minutes_later(1);
    while w.rooms.worker.round().await.unwrap() > 0 {}
    let told = w.told_events("inbound_events", "payment.disputed").await;
    let [Data::PaymentChanged(disputed)] = &told[..] else { panic!("{told:?}") };
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!((&disputed.customer_id, &disputed.subscription_id), (&mirror.customer_id, &id));
    assert_eq!(disputed.amount.as_ref().map(|a| a.minor), Some(2_000));
    assert!(mirror.disputed);
    w.rooms.inbound.receive(&call).await.unwrap();
    while w.rooms.worker.round().await.unwrap() > 0 {}
    assert_eq!(w.told_times("inbound_events", "payment.disputed").await, 1);
}

#[tokio::test]
async fn a_subscription_is_ended_at_stripe_at_once_and_by_one_call() {
    let fake = FakeStripe::start().await;
    let (w, id, external) = connected(&fake).await;
    let ask = |key: &str| Ask { action: Action::CancelNow, months: 0, wished_at: None, key: key.into() };
    // It is ended there, and nobody hears of it.
    let before = fake.seen().len();
    fake.fail_after(2, &[Fault::SilentAfterActing]);
    let gone = w.rooms.subscriptions.act(&w.caller, &id, ask("k")).await.unwrap().body;
    assert_eq!((gone.state, gone.mrr.minor), (subscription::State::Ended, 0));
    assert!(gone.ended_at.is_some() && gone.wish.is_some());
    assert_eq!(fake.object(&external).unwrap()["status"], "canceled");
    let again = w.rooms.subscriptions.act(&w.caller, &id, ask("other")).await.unwrap().body;
    assert_eq!(again.ended_at, gone.ended_at);
    let seen = fake.seen().split_off(before);
    let writes: Vec<_> = seen.iter().filter(|s| s.method != "GET").collect();
    assert!(writes.iter().all(|s| s.method == "DELETE" && s.idempotency_key.is_some()), "{writes:?}");
    let undo = Ask { action: Action::Undo, ..ask("undo") };
    let late = w.rooms.subscriptions.act(&w.caller, &id, undo).await.unwrap_err();
    assert_eq!(late.slug(), "already_ended");
}

#[tokio::test]
async fn a_key_that_is_revoked_is_noticed_by_the_next_event() {
    let fake = FakeStripe::start().await;
    let (w, _, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.act("POST", &["subscriptions", &external], json!({"cancel_at_period_end": "true"}));
    let (signature, body) = fake.delivery("customer.subscription.updated").unwrap();
    let headers = vec![("stripe-signature".into(), signature)];
    let call =
        Call { provider: "stripe".into(), company_key: COMPANY_KEY.into(), headers, body: body.into() };
    w.rooms.inbound.receive(&call).await.unwrap();
    fake.revoke_key();
    w.rooms.worker.round().await.unwrap();
    let connection = w.rooms.connections.get(&w.scope, ProviderKind::Stripe).await.unwrap().body;
    assert_eq!(connection.status, Status::Revoked);
    assert!(w.told("connections").await.iter().filter(|k| *k == "connection.changed").count() >= 2);
}
