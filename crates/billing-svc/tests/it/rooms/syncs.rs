//! Connecting, and reading everything a provider has.

use billing_svc::connections::{Keys, Status, SyncState};
use billing_svc::providers::ProviderKind;
use billing_svc::providers::simulated::{Fixture, Fixtures};
use kit::{Caller, Mode, PageRequest, Scope};

use super::Fault;
use super::world::{World, row};

fn keys(provider: ProviderKind) -> Keys {
    Keys { provider, secret: None, webhook_secret: None, account_name: None, region: None, site: None }
}

#[tokio::test]
async fn a_sync_reads_everything_and_goes_on_where_it_was_cut_off() {
    let w = World::start().await;
    let mut rows: Vec<_> = (0..450).map(|n| row(&format!("c{n}"))).collect();
    rows[7] = Fixture { ended_at: Some("2026-06-01T00:00:00Z".parse().unwrap()), ..row("c7") };
    w.import(Fixtures { rows, prices: Vec::new() }).await;
    let started = w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await.unwrap();
    assert!(started.body.is_syncing());
    let twice = w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await.unwrap();
    assert_eq!(twice.version, started.version, "one at a time");
    // The second page is lost; the next round begins there.
    let connection = async || w.rooms.connections.get(&w.scope, ProviderKind::Simulated).await.unwrap().body;
    w.faults.next_pages(&[Fault::NoAnswer]);
    w.sync().await;
    let cut = connection().await;
    assert_eq!((cut.status, cut.sync.unwrap().state), (Status::Degraded, SyncState::Running));
    w.sync().await;
    assert!(connection().await.is_syncing(), "not before it is due");
    w.minutes_later(1);
    w.sync().await;
    let done = connection().await;
    let sync = done.sync.unwrap();
    assert_eq!((done.status, sync.state), (Status::Connected, SyncState::Done));
    assert_eq!((sync.customers, sync.subscriptions, sync.rejected), (450, 450, 0));
    assert!(sync.pages >= 6 && done.changes_from.is_some());
    let told = w.told_times("customers", "customer.upserted").await;
    let gone = w.rooms.customers.named(&w.scope, "c7").await.unwrap();
    assert_eq!(gone.body.state, billing_svc::customers::State::Churned);

    // Read again, nothing is new.
    w.minutes_later(1);
    w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await.unwrap();
    w.sync().await;
    assert_eq!(w.told_times("customers", "customer.upserted").await, told);
    let mut seen = 0;
    let mut page = PageRequest::new(200, "");
    loop {
        let found = w.rooms.subscriptions.list(&w.caller, &Default::default(), &page).await.unwrap();
        seen += found.items.len();
        match found.next_cursor {
            Some(next) => page = PageRequest::new(200, next),
            None => break,
        }
    }
    assert_eq!(seen, 450);

    // Only changes: one new row is all that is read, within the overlap.
    w.minutes_later(5);
    w.import(Fixtures { rows: vec![row("late")], prices: Vec::new() }).await;
    let since = Some(kit::Clock::now(&w.clock));
    w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, since).await.unwrap();
    w.sync().await;
    let sync = connection().await.sync.unwrap();
    assert_eq!((sync.state, sync.subscriptions), (SyncState::Done, 1));
    w.rooms.customers.named(&w.scope, "late").await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_removed_serves_nobody() {
    let w = World::start().await;
    let s = w.subscriber("ada").await;
    let removed = w.rooms.connections.remove(&w.caller, ProviderKind::Simulated).await.unwrap();
    assert_eq!((removed.body.status, removed.body.webhook_secrets.len()), (Status::Disconnected, 0));
    let refused = w.rooms.subscriptions.refresh(&w.scope, &s.id).await.unwrap_err();
    assert_eq!(refused.slug(), "not_connected");
    let sync = w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await.unwrap_err();
    assert_eq!(sync.slug(), "not_connected");
    assert_eq!(w.told("connections").await.iter().filter(|k| *k == "connection.changed").count(), 2);
}

#[tokio::test]
async fn keys_are_tried_first_and_connections_are_each_company_s_own() {
    let w = World::start().await;
    let other = Caller { scope: Some(Scope::new("com_2", Mode::Live)), ..w.caller.clone() };
    assert!(w.rooms.connections.list(&other).await.unwrap().is_empty());
    for kind in [ProviderKind::Stripe, ProviderKind::Chargebee, ProviderKind::Recurly] {
        let keyless = w.rooms.connections.put(&other, keys(kind)).await.err().unwrap();
        assert_eq!(keyless.slug(), "invalid_request");
    }
    w.faults.down(true);
    assert!(w.rooms.connections.put(&other, keys(ProviderKind::Simulated)).await.is_err());
    assert!(w.rooms.connections.list(&other).await.unwrap().is_empty(), "nothing is stored untried");
}

#[tokio::test]
async fn secrets_are_sealed_in_the_database() {
    let w = World::start().await;
    let stored =
        w.db.collection::<bson::Document>("connections").find_one(bson::doc! {}).await.unwrap().unwrap();
    assert!(!stored.to_string().contains("whsec_of_the_test"));
    let sealed = stored.get_document("body").unwrap().get_array("webhook_secrets").unwrap();
    assert_eq!(sealed.len(), 1);
}

#[tokio::test]
async fn invariant_9_a_page_read_twice_leaves_the_same_and_customers_follow() {
    let w = World::start().await;
    let rows: Vec<_> = (0..150).map(|n| row(&format!("c{n}"))).collect();
    w.import(Fixtures { rows, prices: Vec::new() }).await;
    // One that the company knew before, and one whose subscription moves between two syncs.
    let said = billing_svc::customers::Said {
        external_id: "c0".into(),
        name: Some("Countess".into()),
        ..Default::default()
    };
    let own = w.rooms.customers.upsert(&w.caller, &said).await.unwrap();
    for round in 0..3 {
        w.rooms.connections.start_sync(&w.caller, ProviderKind::Simulated, None).await.unwrap();
        w.sync().await;
        if round == 0 {
            let provider = w.rooms.connections.provider(&w.scope, ProviderKind::Simulated).await.unwrap();
            let cancel = billing_svc::providers::Act::CancelAtPeriodEnd { feedback: None };
            let key = billing_svc::providers::IdempotencyKey::new("theirs");
            provider.apply(&"sub_c1".into(), &cancel, &key).await.unwrap();
        }
        w.minutes_later(1);
    }
    let linked = w.rooms.customers.named(&w.scope, "c0").await.unwrap();
    assert_eq!((linked.id, linked.body.name.as_str()), (own.id, "Countess"));
    let moved = w.rooms.customers.named(&w.scope, "c1").await.unwrap();
    assert!(moved.body.at_risk && moved.body.subscription_count == 1);
    // Each subscription was told once, and the one that moved once more.
    assert_eq!(w.told_times("subscriptions", "subscription.changed").await, 151);
}
