//! The rooms with Recurly's wire behind them.

use billing_svc::connections::{Keys, Status, SyncState};
use billing_svc::inbound::{Call, Filter, State as EventState};
use billing_svc::offer::{Draft, Stacking, Terms};
use billing_svc::providers::recurly::Region;
use billing_svc::providers::{Cut, ProviderKind};
use billing_svc::redemption::State;
use billing_svc::subscription::{self, Action, Ask};
use kit::{Caller, Mode, PageRequest, Scope, SecretString};
use serde_json::json;
use testkit::recurly::{FakeRecurly, Fault};

use super::world::{COMPANY_KEY, World, draft, eur, percent};

fn keys(fake: &FakeRecurly, secret: SecretString) -> Keys {
    Keys {
        provider: ProviderKind::Recurly,
        secret: Some(secret),
        webhook_secret: Some(fake.webhook_secret()),
        account_name: None,
        region: Some(Region::Eu),
        site: None,
    }
}

/// A company in test mode, connected, with one customer read in.
async fn connected(fake: &FakeRecurly) -> (World, String, String) {
    let mut w = World::start_with_recurly(fake).await;
    w.scope = Scope::new("com_1", Mode::Test);
    w.caller = Caller { scope: Some(w.scope.clone()), ..w.caller.clone() };
    fake.add_plan("fibre", 20.0, "EUR");
    let account = fake.add_account("ada@example.com", "Ada");
    let external = fake.add_subscription(&account, "code-fibre", "EUR");
    let connection = w.rooms.connections.put(&w.caller, keys(fake, fake.key())).await.unwrap();
    assert_eq!((connection.body.status, connection.body.region), (Status::Connected, Region::Eu));
    w.rooms.connections.start_sync(&w.caller, ProviderKind::Recurly, None).await.unwrap();
    w.sync().await;
    let sync = w.rooms.connections.get(&w.scope, ProviderKind::Recurly).await.unwrap().body.sync.unwrap();
    assert_eq!((sync.state, sync.customers, sync.subscriptions), (SyncState::Done, 1, 1));
    let known = w.rooms.subscriptions.known(&w.scope, ProviderKind::Recurly, &external).await.unwrap();
    let id = known.unwrap().id;
    (w, id, external)
}

fn call((headers, body): (Vec<(String, String)>, String)) -> Call {
    Call { provider: "recurly".into(), company_key: COMPANY_KEY.into(), headers, body: body.into() }
}

#[tokio::test]
async fn a_wrong_key_is_not_stored_and_the_region_stays_where_none_is_given() {
    let fake = FakeRecurly::start().await;
    let (w, _, _) = connected(&fake).await;
    let other = Caller { scope: Some(Scope::new("com_2", Mode::Test)), ..w.caller.clone() };
    let refused = w.rooms.connections.put(&other, keys(&fake, "wrong".into())).await.err().unwrap();
    assert_eq!(refused.slug(), "provider_credentials_revoked");
    assert!(w.rooms.connections.list(&other).await.unwrap().is_empty());
    let live = Caller { scope: Some(Scope::new("com_1", Mode::Live)), ..w.caller.clone() };
    let mixed = w.rooms.connections.put(&live, keys(&fake, fake.key())).await;
    assert!(mixed.is_err(), "a sandbox is not for live mode");
    let again = Keys { region: None, ..keys(&fake, fake.key()) };
    let stored = w.rooms.connections.put(&w.caller, again).await.unwrap();
    assert_eq!(stored.body.region, Region::Eu);
    let simulated = Keys { provider: ProviderKind::Simulated, ..keys(&fake, fake.key()) };
    let refused = w.rooms.connections.put(&w.caller, simulated).await.err().unwrap();
    assert_eq!(refused.slug(), "invalid_request", "only Recurly has regions");
}

#[tokio::test]
async fn a_discount_is_claimed_reversed_and_made_once_though_no_answer_comes() {
    let fake = FakeRecurly::start().await;
    let (w, id, external) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(Draft { stacking: Stacking::Merge, ..draft(percent(20, 3)) }).await;
    let shown = w.present(&offer, &s).await;
    for silent_at in [0, 3] {
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
    assert_eq!((mirror.discounts.len(), mirror.mrr.minor), (1, 1_600));
    let reversed = w.rooms.redemptions.reverse(&w.caller, &r.id, "a mistake").await.unwrap();
    assert_eq!(reversed.body.state, State::Reversed);
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!((mirror.discounts.len(), mirror.mrr.minor), (0, 2_000));
    assert_eq!(fake.object("subscription", &external).unwrap()["state"], "active");
}

#[tokio::test]
async fn a_pause_that_waits_for_the_renewal_is_verified_and_reversed() {
    let fake = FakeRecurly::start().await;
    let (w, id, external) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(draft(Terms::Pause { months: 2 })).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(done.body.state, State::Verified);
    assert_eq!(fake.object("subscription", &external).unwrap()["remaining_pause_cycles"], 2);
    w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await.unwrap();
    assert!(fake.object("subscription", &external).unwrap()["remaining_pause_cycles"].is_null());
    let ask = |action| Ask { action, months: 1, wished_at: None, key: "k".into() };
    let waits = w.rooms.subscriptions.act(&w.caller, &id, ask(Action::Pause)).await.unwrap().body;
    assert!(waits.state == subscription::State::Active && waits.paused_at == waits.period_end);
    let on = w.rooms.subscriptions.act(&w.caller, &id, ask(Action::Resume)).await.unwrap().body;
    assert_eq!(on.paused_at, None);
}

#[tokio::test]
async fn a_credit_is_read_back_and_taken_away() {
    let fake = FakeRecurly::start().await;
    let (w, id, _) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(draft(Terms::Credit { amount: eur(500) })).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!(done.body.state, State::Verified);
    let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await.unwrap();
    assert_eq!(reversed.body.state, State::Reversed);
}

#[tokio::test]
async fn a_signed_webhook_of_recurly_moves_the_mirror_once() {
    let fake = FakeRecurly::start().await;
    let (w, id, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.act("PUT", &["subscriptions", &external, "cancel"], json!({"timeframe": "bill_date"}));
    let canceled = call(fake.delivery("subscription", "canceled").unwrap());
    let (_, duplicate) = w.rooms.inbound.receive(&canceled).await.unwrap();
    assert!(!duplicate && w.rooms.inbound.receive(&canceled).await.unwrap().1);
    w.rooms.worker.round().await.unwrap();
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!(mirror.state, subscription::State::NonRenewing);
    fake.act("PUT", &["subscriptions", &external, "reactivate"], json!({}));
    w.minutes_later(1);

    // An invoice names no subscription, and does not change it.
    fake.fall_due(&external);
    for (object, event) in [("charge_invoice", "past_due"), ("payment", "failed")] {
        w.rooms.inbound.receive(&call(fake.delivery(object, event).unwrap())).await.unwrap();
    }
    w.rooms.worker.round().await.unwrap();
    let mirror = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap().body;
    assert_eq!((mirror.state, mirror.failed_payments), (subscription::State::PastDue, 1));

    let mut forged = canceled.clone();
    forged.body = forged.body.iter().map(|b| if *b == b'0' { b'1' } else { *b }).collect();
    assert_eq!(w.rooms.inbound.receive(&forged).await.err().unwrap().slug(), "bad_signature");
    let xml = Call { headers: vec![], body: "<new_subscription_notification/>".into(), ..canceled };
    let refused = w.rooms.inbound.receive(&xml).await.err().unwrap();
    assert!(refused.to_string().contains("JSON"), "{refused}");
    let events =
        w.rooms.inbound.list(&w.caller, &Filter::default(), &PageRequest::new(50, "")).await.unwrap().items;
    assert!(events.iter().all(|e| e.body.state == EventState::Processed), "{events:?}");
}

#[tokio::test]
async fn a_key_that_is_revoked_is_noticed_by_the_next_event() {
    let fake = FakeRecurly::start().await;
    let (w, _, external) = connected(&fake).await;
    w.minutes_later(1);
    fake.act("PUT", &["subscriptions", &external, "cancel"], json!({"timeframe": "bill_date"}));
    w.rooms.inbound.receive(&call(fake.delivery("subscription", "canceled").unwrap())).await.unwrap();
    fake.revoke_key();
    w.rooms.worker.round().await.unwrap();
    let connection = w.rooms.connections.get(&w.scope, ProviderKind::Recurly).await.unwrap().body;
    assert_eq!(connection.status, Status::Revoked);
}

#[tokio::test]
async fn half_of_the_last_payment_goes_back_by_an_offer() {
    let fake = FakeRecurly::start().await;
    let (w, id, external) = connected(&fake).await;
    let s = w.rooms.subscriptions.get(&w.scope, &id).await.unwrap();
    let offer = w.offer(draft(Terms::Refund { cut: Cut::percent(50), within_days: 30 })).await;
    let done = w.claim(&w.present(&offer, &s).await).await.unwrap();
    assert_eq!((done.body.state, done.body.cost), (State::Verified, Some(eur(1_000))));
    let path = ["subscriptions", external.as_str(), "invoices"];
    let all = fake.act("GET", &path, json!(null))["data"].clone();
    let back: Vec<_> = all.as_array().unwrap().iter().filter(|i| i["type"] == "credit").collect();
    assert_eq!((back.len(), &back[0]["total"]), (1, &json!(-10.0)));
    let mirror = w.rooms.subscriptions.refresh(&w.scope, &id).await.unwrap().body;
    assert_eq!((mirror.mrr.minor, mirror.state), (2_000, subscription::State::Active));
    let reversed = w.rooms.redemptions.reverse(&w.caller, &done.id, "a mistake").await;
    assert_eq!(reversed.unwrap_err().slug(), "not_reversible");
}
