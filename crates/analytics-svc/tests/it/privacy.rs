//! Somebody is erased, or asks not to be looked at.

use analytics_svc::product_usage::{Head, State};
use analytics_svc::rules::Rule;
use analytics_svc::user_events::NewEvent;
use bytes::Bytes;
use futures_util::stream;
use kit::Coded;
use personal::{How, Kind, Order, Whose};

use crate::personas::persona;
use crate::world::World;

const DID: &str = "asked about COBOL";
const USED: &str = "watched Sneakers";

fn order(world: &World, kind: Kind) -> Order {
    let whose = Whose { customers: vec!["cus_00001".into()], external: vec!["ext-1".into()] };
    Order { request_id: "prv_1".into(), kind, scope: world.scope.clone(), whose }
}

fn event(customer: &str) -> NewEvent {
    let mut properties = bson::RawDocumentBuf::new();
    properties.append(bson::cstr!("what"), DID);
    NewEvent {
        id: String::new(),
        name: "help".into(),
        customer: customer.into(),
        properties: Some(properties),
        occurred_at: None,
        source: String::new(),
    }
}

async fn upload(world: &World, dataset: &str, rows: &str) -> String {
    let head = Head {
        dataset: dataset.into(),
        file_name: "a.csv".into(),
        content_type: "text/csv".into(),
        auto_confirm: true,
        ..Head::default()
    };
    let file = stream::iter([Ok(Bytes::copy_from_slice(rows.as_bytes()))]);
    let id = world.rooms.usage.upload(&world.caller, head, file).await.unwrap().id;
    world.work().await;
    assert_eq!(world.rooms.usage.get(&world.scope, &id).await.unwrap().body.state, State::Completed);
    id
}

#[tokio::test]
async fn what_somebody_did_and_used_goes_with_them_and_nobody_else_s() {
    let world = World::new().await;
    let _running = world.run();
    world.active(persona("everybody", Rule::All(Vec::new()), None)).await;
    world.tell(&[world.customer(1, 1), world.customer(2, 1)]).await;
    let events = vec![event("ext-1"), event("cus_00001"), event("ext-2")];
    world.rooms.events.record(&world.scope, events).await.unwrap();
    let films = upload(&world, "films", &format!("customerID,Film\next-1,{USED}\next-2,none\n")).await;
    upload(&world, "mails", &format!("email,Film\nc1@example.com,{USED}\nc2@example.com,none\n")).await;
    testkit::relayed(&world.db).await;
    let words = ["c1@example.com", "ext-1", USED];
    assert!(!testkit::holding(&world.db, &words).await.is_empty());

    let done = world.rooms.desk.carry_out(&order(&world, Kind::Erasure)).await.unwrap();
    testkit::relayed(&world.db).await;
    assert_eq!(testkit::holding(&world.db, &words).await, [] as [String; 0]);
    let count =
        |what: &str| done.done.iter().find(|d| d.what == what && d.how == How::Removed).map(|d| d.count);
    assert_eq!((count("user_events"), count("usage_rows")), (Some(2), Some(2)), "{done:?}");
    assert_eq!(count("usage_files"), Some(2), "{done:?}");
    let rest = world.rooms.usage.of_customer(&world.scope, "ext-2").await.unwrap();
    assert_eq!(rest.len(), 2, "the others keep theirs");
    assert_eq!(
        world
            .rooms
            .events
            .count(&world.scope, &["ext-2".into()], None, kit::Timestamp::UNIX_EPOCH)
            .await
            .unwrap(),
        1
    );
    assert!(
        world.rooms.usage.errors(&world.scope, &films).await.unwrap().is_empty(),
        "read without its file"
    );
    assert_eq!(world.rooms.desk.carry_out(&order(&world, Kind::Erasure)).await.unwrap(), done);
    world.tell(&[world.customer(1, 2)]).await;
    testkit::relayed(&world.db).await;
    assert_eq!(testkit::holding(&world.db, &words).await, [] as [String; 0], "nor do they come back");
}

#[tokio::test]
async fn who_is_not_to_be_looked_at_is_in_no_persona_until_that_is_lifted() {
    let world = World::new().await;
    let id = world.active(persona("everybody", Rule::All(Vec::new()), None)).await;
    world.tell(&[world.customer(1, 1), world.customer(2, 1)]).await;
    let members = async || {
        let page = world.rooms.customers.members(&world.scope, &id, &kit::PageRequest::new(10, "")).await;
        page.unwrap().items.into_iter().map(|c| c.id).collect::<Vec<_>>()
    };
    assert_eq!(members().await, ["cus_00001", "cus_00002"]);
    world.rooms.desk.carry_out(&order(&world, Kind::Restriction)).await.unwrap();
    assert_eq!(members().await, ["cus_00002"]);
    world.tell(&[world.customer(1, 2)]).await;
    world.rooms.work.refresh(&world.scope).await.unwrap();
    world.work().await;
    assert_eq!(members().await, ["cus_00002"], "no refresh looks at them");
    let seen = world.rooms.customers.see(&world.scope, "ext-1").await.unwrap().unwrap();
    assert!(seen.facts.is_empty() && seen.personas.is_empty());
    world.rooms.desk.carry_out(&order(&world, Kind::Lift)).await.unwrap();
    assert_eq!(members().await, ["cus_00001", "cus_00002"]);
    let nobody = world.rooms.customers.get(&world.scope, "ext-9").await.unwrap_err();
    assert_eq!(nobody.code().1, "not_found");
}
