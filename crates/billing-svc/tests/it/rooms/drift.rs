//! The mirror is changed behind everybody's back, and a sync of everything finds and repairs it.

use billing_svc::connections::{Connection, DriftKind, Drifted, SyncState};
use billing_svc::providers::ProviderKind;
use billing_svc::providers::simulated::Fixtures;
use billing_svc::subscription::State;
use bson::doc;
use kit::Clock;
use tokio_util::sync::CancellationToken;

use super::Fault;
use super::world::{World, row};

const SIMULATED: ProviderKind = ProviderKind::Simulated;

async fn connection(w: &World) -> Connection {
    w.rooms.connections.get(&w.scope, SIMULATED).await.unwrap().body
}

/// Everything read and, from the second time on, compared.
async fn read_all(w: &World) -> Connection {
    w.rooms.connections.start_sync(&w.caller, SIMULATED, None).await.unwrap();
    w.sync().await;
    let after = connection(w).await;
    assert_eq!(after.sync.as_ref().unwrap().state, SyncState::Done);
    w.minutes_later(1);
    after
}

#[tokio::test]
async fn what_has_drifted_is_found_repaired_and_said() {
    let w = World::start().await;
    let rows = (0..420).map(|n| row(&format!("c{n:03}"))).collect();
    w.import(Fixtures { rows, prices: Vec::new() }).await;
    w.minutes_later(1);
    let first = read_all(&w).await;
    assert_eq!(first.sync.unwrap().drift.count(), 0, "nothing to compare with");
    assert_eq!(read_all(&w).await.sync.unwrap().drift.count(), 0, "nothing has drifted");

    // One is lost, one says something else, one is older than it should be, and one is not at the provider.
    let mirror = w.db.collection::<bson::Document>("subscriptions");
    let of = |n: u32| doc! { "body.external_id": format!("sub_c{n:03}") };
    mirror.delete_one(of(10)).await.unwrap();
    mirror.update_one(of(20), doc! { "$set": { "body.plan": "none", "body.quantity": 7 } }).await.unwrap();
    let older = doc! { "$set": { "body.state": "paused" }, "$inc": { "body.provider_version": -1 } };
    mirror.update_one(of(30), older).await.unwrap();
    let books = w.db.collection::<bson::Document>("simulated_subscriptions");
    books.delete_one(doc! { "_id": { "$regex": "sub_c040$" } }).await.unwrap();

    let drift = read_all(&w).await.sync.unwrap().drift;
    assert_eq!((drift.missing, drift.changed, drift.stale, drift.vanished), (1, 1, 1, 1));
    let example = |n: u32, kind: DriftKind, fields: &[&str]| Drifted {
        subscription: format!("sub_c{n:03}"),
        kind: kind.as_str().into(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
    };
    let mut said = drift.examples;
    said.sort_by(|a, b| a.subscription.cmp(&b.subscription));
    assert_eq!(
        said,
        [
            example(10, DriftKind::Missing, &[]),
            example(20, DriftKind::Changed, &["plan", "quantity"]),
            example(30, DriftKind::Stale, &["state"]),
            example(40, DriftKind::Vanished, &["state"]),
        ]
    );
    let known = async |n: u32| {
        let id = format!("sub_c{n:03}");
        w.rooms.subscriptions.known(&w.scope, SIMULATED, &id).await.unwrap().unwrap().body
    };
    assert_eq!((known(20).await.plan.as_str(), known(20).await.quantity), ("fibre", 1));
    assert_eq!((known(10).await.state, known(30).await.state), (State::Active, State::Active));
    assert_eq!(known(40).await.state, State::Unknown, "its customer cancels by hand");
    assert_eq!(read_all(&w).await.sync.unwrap().drift.count(), 0, "repaired");
}

#[tokio::test]
async fn a_comparison_that_is_cut_off_goes_on_and_forgets_nothing() {
    let w = World::start().await;
    let rows = (0..420).map(|n| row(&format!("c{n:03}"))).collect();
    w.import(Fixtures { rows, prices: Vec::new() }).await;
    w.minutes_later(1);
    read_all(&w).await;
    let mirror = w.db.collection::<bson::Document>("subscriptions");
    mirror.update_many(doc! {}, doc! { "$set": { "body.plan": "none" } }).await.unwrap();
    w.rooms.connections.start_sync(&w.caller, SIMULATED, None).await.unwrap();
    // Pages of customers, one of subscriptions, and then the process dies.
    w.faults.pages_before(5, Fault::NoAnswer);
    w.sync().await;
    let cut = connection(&w).await.sync.unwrap();
    assert_eq!(cut.state, SyncState::Running);
    assert!((1..420).contains(&cut.drift.changed), "{}", cut.drift.changed);
    assert!(cut.subscriptions > 0 && cut.subscriptions < 420, "it says how far it is");
    w.minutes_later(1);
    w.sync().await;
    let done = connection(&w).await.sync.unwrap();
    assert_eq!((done.state, done.drift.changed, done.subscriptions), (SyncState::Done, 420, 420));
    assert_eq!(done.drift.examples.len(), 20);
}

#[tokio::test]
async fn syncs_begin_by_themselves_of_changes_every_hour_and_of_everything_every_day() {
    let w = World::start().await;
    w.subscriber("ada").await;
    w.rooms.syncs.start_due().await.unwrap();
    assert!(!connection(&w).await.is_syncing(), "not before somebody started the first");
    let done = read_all(&w).await;
    assert!(done.next_sync_at.is_some_and(|at| at > w.clock.now()));
    let run = async || {
        w.rooms.syncs.start_due().await.unwrap();
        let begun = connection(&w).await.is_syncing();
        w.rooms.syncs.round(&CancellationToken::new()).await.unwrap();
        (begun, connection(&w).await.sync.unwrap().full)
    };
    assert_eq!(run().await, (false, true));
    w.minutes_later(61);
    assert_eq!(run().await, (true, false), "what changed");
    w.minutes_later(24 * 60);
    assert_eq!(run().await, (true, true), "everything");
    w.rooms.connections.remove(&w.caller, SIMULATED).await.unwrap();
    w.minutes_later(48 * 60);
    w.rooms.syncs.start_due().await.unwrap();
    assert!(!connection(&w).await.is_syncing());
}

#[tokio::test]
async fn a_week_of_silence_and_a_provider_that_does_not_know_it_make_it_unknown() {
    let w = World::start().await;
    let ada = w.subscriber("ada").await;
    let eve = w.subscriber("eve").await;
    let state = async |id: &str| w.rooms.subscriptions.get(&w.scope, id).await.unwrap().body.state;
    w.minutes_later(6 * 24 * 60);
    w.faults.down(true);
    assert_eq!(w.rooms.subscriptions.check_silent().await.unwrap(), 0, "not yet");
    w.minutes_later(2 * 24 * 60);
    let books = w.db.collection::<bson::Document>("simulated_subscriptions");
    books.delete_one(doc! { "_id": { "$regex": "sub_eve$" } }).await.unwrap();
    w.faults.down(false);
    assert_eq!(w.rooms.subscriptions.check_silent().await.unwrap(), 1);
    assert_eq!((state(&ada.id).await, state(&eve.id).await), (State::Active, State::Unknown));
    let told = w.told_times("subscriptions", "subscription.changed").await;
    assert_eq!(w.rooms.subscriptions.check_silent().await.unwrap(), 0);
    assert_eq!(w.told_times("subscriptions", "subscription.changed").await, told, "and said once");
}
