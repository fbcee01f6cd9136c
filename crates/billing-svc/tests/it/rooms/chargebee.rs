//! The rooms with Chargebee's wire behind them.

use billing_svc::connections::{Keys, Status, SyncState};
use billing_svc::inbound::Call;
use billing_svc::offer::Terms;
use billing_svc::providers::{Cut, ProviderKind};
use billing_svc::redemption;
use billing_svc::subscription::State;
use kit::{Caller, Mode, Scope, SecretString};
use testkit::chargebee::{Catalogue, FakeChargebee};

use super::world::{COMPANY_KEY, World, draft, eur, percent};

fn keys(fake: &FakeChargebee, secret: SecretString) -> Keys {
    Keys {
        provider: ProviderKind::Chargebee,
        secret: Some(secret),
        webhook_secret: Some(fake.webhook_secret()),
        account_name: None,
        region: None,
        site: Some("adafibre-test".into()),
    }
}

/// A company in test mode, connected, with one customer read in.
async fn connected(fake: &FakeChargebee) -> (World, String, String) {
    let mut w = World::start_with_chargebee(fake).await;
    w.scope = Scope::new("com_1", Mode::Test);
    w.caller = Caller { scope: Some(w.scope.clone()), ..w.caller.clone() };
    let price = fake.add_price("fibre", "fibre-EUR-monthly", 2_000, "EUR");
    let customer = fake.add_customer("ada@example.com", "Ada");
    let external = fake.add_subscription(&customer, &price, 0);
    let connection = w.rooms.connections.put(&w.caller, keys(fake, fake.key())).await.unwrap().body;
    assert_eq!((connection.status, connection.site.as_deref()), (Status::Connected, Some("adafibre-test")));
    w.rooms.connections.start_sync(&w.caller, ProviderKind::Chargebee, None).await.unwrap();
    w.sync().await;
    let found = w.rooms.connections.get(&w.scope, ProviderKind::Chargebee).await.unwrap().body;
    let sync = found.sync.unwrap();
    assert_eq!((sync.state, sync.customers, sync.subscriptions), (SyncState::Done, 1, 1));
    let known = w.rooms.subscriptions.known(&w.scope, ProviderKind::Chargebee, &external).await.unwrap();
    let id = known.unwrap().id;
    (w, id, external)
}

fn call((caller, body): (String, String)) -> Call {
    Call {
        provider: "chargebee".into(),
        company_key: COMPANY_KEY.into(),
        headers: vec![("authorization".into(), caller)],
        body: body.into(),
    }
}

#[tokio::test]
async fn only_a_proper_site_with_a_good_key_is_stored() {
    let fake = FakeChargebee::start(Catalogue::Items).await;
    let (w, _, _) = connected(&fake).await;
    let other = Caller { scope: Some(Scope::new("com_2", Mode::Test)), ..w.caller.clone() };
    let put = async |keys| w.rooms.connections.put(&other, keys).await.err().unwrap().slug().to_owned();
    assert_eq!(put(keys(&fake, "wrong".into())).await, "provider_credentials_revoked");
    for site in [None, Some("evil.example/"), Some("adafibre.chargebee.com")] {
        let given = Keys { site: site.map(str::to_owned), ..keys(&fake, fake.key()) };
        assert_eq!(put(given).await, "invalid_request", "{site:?}");
    }
    let without_password = Keys { webhook_secret: Some("secret".into()), ..keys(&fake, fake.key()) };
    assert_eq!(put(without_password).await, "invalid_request");
    let elsewhere = Keys { provider: ProviderKind::Stripe, ..keys(&fake, fake.key()) };
    assert_eq!(put(elsewhere).await, "invalid_request");
    assert!(w.rooms.connections.list(&other).await.unwrap().is_empty());
    let live = Caller { scope: Some(Scope::new("com_1", Mode::Live)), ..w.caller.clone() };
    let mixed = w.rooms.connections.put(&live, keys(&fake, fake.key())).await;
    assert!(mixed.is_err(), "a test site is not for live mode");
    let stored = w.rooms.connections.get(&w.scope, ProviderKind::Chargebee).await.unwrap().body;
    let stored = serde_json::to_string(&stored).unwrap();
    assert!(!stored.contains("fakekey") && !stored.contains("s3:cret") && stored.contains("sha256:"));
}

#[tokio::test]
async fn a_discount_stands_at_chargebee_and_is_taken_back() {
    let fake = FakeChargebee::start(Catalogue::Items).await;
    let (w, id, external) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(draft(percent(20, 3))).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(done.body.state, redemption::State::Verified);
    assert_eq!(fake.subscription(&external).unwrap()["coupons"][0]["coupon_id"], "retention-2000bp-3m");
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!((mirror.discounts.len(), mirror.mrr.minor), (1, 1_600));
    let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await.unwrap();
    assert_eq!(reversed.body.state, redemption::State::Reversed);
    assert!(fake.subscription(&external).unwrap().get("coupons").is_none());
    assert!(w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body.discounts.is_empty());
}

#[tokio::test]
async fn a_webhook_of_chargebee_moves_the_mirror() {
    let fake = FakeChargebee::start(Catalogue::Items).await;
    let (w, id, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.act(&format!("/subscriptions/{external}/cancel_for_items"), &[("cancel_option", "end_of_term")]);
    let told = call(fake.delivery("subscription_cancellation_scheduled").unwrap());
    assert!(!w.rooms.inbound.receive(&told).await.unwrap().1);
    assert!(w.rooms.inbound.receive(&told).await.unwrap().1, "the same event again");
    w.rooms.worker.round().await.unwrap();
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!(mirror.state, State::NonRenewing);
    let stranger = Call { headers: vec![("authorization".into(), "Basic aG9vazp3cm9uZw==".into())], ..told };
    assert!(w.rooms.inbound.receive(&stranger).await.is_err());
}

#[tokio::test]
async fn a_payment_counts_as_failed_when_chargebee_says_so_itself() {
    let fake = FakeChargebee::start(Catalogue::Items).await;
    let (w, id, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.fail_payment(&external);
    let (caller, body) = fake.delivery("payment_failed").unwrap();
    // Written by somebody who knows the password: an event that is not there.
    let forged = body.replace("ev_Fake", "ev_Made");
    w.rooms.inbound.receive(&call((caller.clone(), forged))).await.unwrap();
    w.rooms.worker.round().await.unwrap();
    let told = async || w.told_times("subscriptions", "payment.failed").await;
    assert_eq!(told().await, 0);
    w.rooms.inbound.receive(&call((caller, body))).await.unwrap();
    w.rooms.worker.round().await.unwrap();
    assert_eq!(told().await, 1);
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!(mirror.state, State::PastDue);
}

#[tokio::test]
async fn half_of_the_last_payment_goes_back_by_an_offer() {
    let fake = FakeChargebee::start(Catalogue::Items).await;
    let (w, id, external) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(draft(Terms::Refund { cut: Cut::percent(50), within_days: 30 })).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!((done.body.state, done.body.cost), (redemption::State::Verified, Some(eur(1_000))));
    let notes = fake.all("credit_note");
    assert_eq!(
        (notes.len(), &notes[0]["total"], &notes[0]["subscription_id"]),
        (1, &1_000.into(), &external.into())
    );
    let mirror = w.rooms.subscriptions.refresh(&w.scope, &id).await.unwrap().body;
    assert_eq!((mirror.mrr.minor, mirror.state), (2_000, State::Active));
    let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await;
    assert_eq!(reversed.unwrap_err().slug(), "not_reversible");
}
