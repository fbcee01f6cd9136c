//! Taking events in.

use analytics_svc::user_events::{Filter, NewEvent, Outcome};
use kit::{Mode, PageRequest, Scope};

use crate::world::World;

fn event(id: &str, customer: &str) -> NewEvent {
    NewEvent {
        id: id.into(),
        name: "login".into(),
        customer: customer.into(),
        properties: Some(bson::rawdoc! { "pages": 2.0 }),
        occurred_at: None,
        source: "web".into(),
    }
}

#[tokio::test]
async fn each_event_is_taken_once_and_answered_for_itself() {
    let world = World::new().await;
    let _running = world.run();
    let wrong = NewEvent { name: "Log In".into(), ..event("c", "ext-1") };
    let batch = vec![event("a", "ext-1"), wrong, event("b", "ext-1"), event("a", "ext-1")];
    let outcomes = world.rooms.events.record(&world.scope, batch.clone()).await.unwrap();
    let short = |outcomes: &[Outcome]| {
        outcomes
            .iter()
            .map(|o| match o {
                Outcome::Accepted { id } => format!("+{id}"),
                Outcome::Duplicate { id } => format!("={id}"),
                Outcome::Rejected { id, why } => format!("-{id} {}", why.field),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(short(&outcomes), ["+a", "-c name", "+b", "=a"]);
    let again = world.rooms.events.record(&world.scope, batch).await.unwrap();
    assert_eq!(short(&again), ["=a", "-c name", "=b", "=a"]);
    // Another mode is another world.
    let test = Scope::new("com_1", Mode::Test);
    let other = world.rooms.events.record(&test, vec![event("a", "ext-1")]).await.unwrap();
    assert_eq!(short(&other), ["+a"]);
}

#[tokio::test]
async fn single_events_at_the_same_time_share_their_inserts_and_each_gets_its_own_answer() {
    let world = World::new().await;
    let _running = world.run();
    let singles = (0..300).map(|i| {
        let (events, scope) = (world.rooms.events.clone(), world.scope.clone());
        // Every third is a repetition of the one before.
        let id = format!("e{}", if i % 3 == 2 { i - 1 } else { i });
        async move { events.record(&scope, vec![event(&id, "ext-1")]).await.unwrap().remove(0) }
    });
    let outcomes = futures_util::future::join_all(singles).await;
    let accepted = outcomes.iter().filter(|o| matches!(o, Outcome::Accepted { .. })).count();
    let duplicate = outcomes.iter().filter(|o| matches!(o, Outcome::Duplicate { .. })).count();
    assert_eq!((accepted, duplicate), (200, 100));
}

#[tokio::test]
async fn a_list_pages_through_a_customer_s_events_by_both_names() {
    let world = World::new().await;
    let _running = world.run();
    world.tell(&[world.customer(1, 1)]).await;
    let batch = (0..25).map(|i| event(&format!("e{i}"), if i % 2 == 0 { "ext-1" } else { "cus_00001" }));
    world.rooms.events.record(&world.scope, batch.collect()).await.unwrap();
    world.rooms.events.record(&world.scope, vec![event("other", "ext-2")]).await.unwrap();
    let customers = world.rooms.customers.references(&world.scope, "ext-1").await.unwrap();
    let filter = Filter { customers, ..Filter::default() };
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            world.rooms.events.list(&world.scope, &filter, &PageRequest::new(10, cursor)).await.unwrap();
        seen.extend(page.items.into_iter().map(|e| e.id));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}
