//! A company that bills through Stripe, through all the rooms: read in, kept, heard of by webhook, and cut off.

use std::sync::Arc;

use billing_svc::connections::{Addresses, Keys, Opener, Status, SyncState};
use billing_svc::inbound::Call;
use billing_svc::offer::{self, Audience, CodePolicy, Draft, Limits, Purpose, Stacking, Terms};
use billing_svc::providers::{self, Cut, ProviderKind, Term, Tools};
use billing_svc::redemption;
use billing_svc::secrets::Vault;
use billing_svc::subscription::State;
use billing_svc::upstream::Directory;
use billing_svc::{Keeping, Rooms};
use connect::http::{Http, Settings};
use connect::objects::Objects;
use kit::locale::LocalText;
use kit::{Actor, Caller, Mode, PageRequest, Role, Scope};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::stripe::StripeRig;

fn quarter_off() -> Draft {
    Draft {
        name: "Stay".into(),
        purpose: Purpose::Retain,
        terms: Terms::Discount { cut: Cut::percent(25), term: Term::Months(3) },
        audience: Audience::default(),
        limits: Limits::default(),
        stacking: Stacking::Merge,
        code_policy: CodePolicy::None,
        shared_code: String::new(),
        text: LocalText::of("en", "Stay with us"),
        terms_text: None,
        valid_from: None,
        valid_until: None,
    }
}

#[tokio::test]
async fn a_company_at_stripe_is_read_in_kept_and_kept_up_to_date() {
    let rig = StripeRig::start().await;
    let fake = &rig.fake;
    let test = testkit::mongo().await;
    let db = test.db("billing").await;
    let clock = Arc::new(fake.clock().clone());
    let http = Http::new(Settings { private_networks: true, ..Settings::default() }).unwrap();
    let tools = Tools::open(&db, http, clock.clone()).await.unwrap();
    let opener: Opener = Arc::new(move |connection| providers::open(connection, &tools));
    let vault = Vault::new(&[kit::caller::SigningKey::new_seed()]).unwrap();
    let directory = Directory::fixed([("cpk_1".to_owned(), "com_1".to_owned())]);
    let url = Addresses { stripe: Some(fake.url().to_owned()), ..Addresses::default() };
    let keeping = Keeping { objects: Objects::memory(), timeline_days: 1_000 };
    let rooms = Box::pin(Rooms::open(&db, clock, vault, opener, url, directory, keeping)).await.unwrap();
    tokio::spawn(rooms.inserts.clone().run(CancellationToken::new()));
    let scope = Scope::new("com_1", Mode::Test);
    let caller = Caller {
        role: Role::RetAdmin,
        actor: Actor::new("user", "usr_1"),
        ..Caller::internal("test", Some(scope.clone()))
    };
    let mut ids = Vec::new();
    for n in 0..120 {
        let customer = fake.add_customer(&format!("c{n}@example.com"), "Ada");
        ids.push(fake.add_subscription(&customer, &rig.price));
    }

    // Connected and read in, over more than one page.
    let keys = Keys {
        provider: ProviderKind::Stripe,
        secret: Some(fake.key()),
        webhook_secret: Some(fake.webhook_secret()),
        account_name: None,
        region: None,
        site: None,
    };
    rooms.connections.put(&caller, keys).await.unwrap();
    rooms.connections.start_sync(&caller, ProviderKind::Stripe, None).await.unwrap();
    rooms.syncs.round(&CancellationToken::new()).await.unwrap();
    let connection = async || rooms.connections.get(&scope, ProviderKind::Stripe).await.unwrap().body;
    let sync = connection().await.sync.unwrap();
    assert_eq!((sync.state, sync.customers, sync.subscriptions), (SyncState::Done, 120, 120));
    let page = PageRequest::new(1, "");
    let found = rooms.subscriptions.list(&caller, &Default::default(), &page).await.unwrap();
    let mirror = found.items.into_iter().next().unwrap();
    let external = mirror.body.external_id.clone();

    // Kept: the company's own discount stays, ours stands beside it.
    fake.act("POST", &["subscriptions", &external], json!({"discounts": [{"coupon": "PARTNER"}]}));
    let offer = rooms.offers.create(&caller, quarter_off()).await.unwrap();
    let offer = rooms.offers.set_state(&caller, &offer.id, offer::State::Active).await.unwrap();
    let shown = rooms.redemptions.present(&caller, &offer.id, &mirror.id, "fls_1", vec![]).await.unwrap();
    let claimed = rooms.redemptions.claim(&caller, &shown.id, &shown.body.terms_hash).await.unwrap();
    assert_eq!(claimed.body.state, redemption::State::Verified);
    assert_eq!(fake.object(&external).unwrap()["discounts"].as_array().unwrap().len(), 2);
    let kept = rooms.subscriptions.get(&scope, &mirror.id).await.unwrap().body;
    assert_eq!((kept.discounts.len(), kept.mrr.minor), (2, 1_350));
    assert!(fake.seen().iter().all(|s| s.method == "GET" || s.idempotency_key.is_some()));

    // Somebody cancels in the dashboard: the webhook says so.
    fake.clock().advance(jiff::SignedDuration::from_secs(5));
    fake.act("POST", &["subscriptions", &external], json!({"cancel_at_period_end": "true"}));
    let (signature, body) = fake.delivery("customer.subscription.updated").unwrap();
    let call = Call {
        provider: "stripe".into(),
        company_key: "cpk_1".into(),
        headers: vec![("stripe-signature".into(), signature)],
        body: body.into(),
    };
    let (_, duplicate) = rooms.inbound.receive(&call).await.unwrap();
    assert!(!duplicate && rooms.inbound.receive(&call).await.unwrap().1);
    assert_eq!(rooms.worker.round().await.unwrap(), 1);
    let left = rooms.subscriptions.get(&scope, &mirror.id).await.unwrap().body;
    assert_eq!(left.state, State::NonRenewing);

    // The key is withdrawn: the next look says so.
    fake.revoke_key();
    rooms.subscriptions.refresh(&scope, &mirror.id).await.unwrap_err();
    rooms.connections.test(&caller, ProviderKind::Stripe).await.ok();
    assert_eq!(connection().await.status, Status::Revoked);
}
