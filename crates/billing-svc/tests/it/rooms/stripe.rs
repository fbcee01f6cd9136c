//! The rooms with Stripe's wire behind them.

use billing_svc::connections::{Keys, Status, SyncState};
use billing_svc::inbound::Call;
use billing_svc::offer::{Draft, Stacking};
use billing_svc::providers::ProviderKind;
use billing_svc::redemption::State;
use billing_svc::subscription::{self, Action, Ask};
use kit::{Caller, Mode, Scope, SecretString};
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
