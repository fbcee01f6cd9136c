//! A creating request, once.

use futures_util::future::join_all;
use jiff::SignedDuration;
use prost::Message;
use proto::analytics::PersonaCategory;
use serde_json::{Value, json};

use crate::world::{World, problem};

const RPC: &str = "retention.analytics.v1.PersonaService.CreateCategory";

fn create(world: &World, key: &str, name: &str) -> reqwest::RequestBuilder {
    world.admin("POST", "/v1/persona-categories").header("idempotency-key", key).json(&json!({ "name": name}))
}

async fn world() -> World {
    let world = World::new().await;
    let made = PersonaCategory { id: "pct_1".into(), ..Default::default() };
    world.behind.answers.lock().unwrap().insert(RPC.into(), Ok(made.encode_to_vec().into()));
    world
}

#[tokio::test]
async fn a_repetition_gets_the_answer_and_does_nothing() {
    let world = world().await;
    let first = create(&world, "k1", "a").send().await.unwrap();
    assert_eq!(first.status(), 200);
    let first: Value = first.json().await.unwrap();
    let again = create(&world, "k1", "a").send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(again.json::<Value>().await.unwrap(), first);
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn many_at_once_are_one() {
    let world = world().await;
    let sent = join_all((0..20).map(|_| create(&world, "k1", "a").send())).await;
    for response in sent {
        assert_eq!(response.unwrap().status(), 200);
    }
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn the_same_key_for_something_else_is_refused() {
    let world = world().await;
    assert_eq!(create(&world, "k1", "a").send().await.unwrap().status(), 200);
    let (status, code, _) = problem(create(&world, "k1", "b").send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (409, "idempotency_key_reused"));
    assert_eq!(
        create(&world, "k2", "b").send().await.unwrap().status(),
        200,
        "another key is another request"
    );
    let (status, ..) = problem(create(&world, &"k".repeat(300), "a").send().await.unwrap()).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn what_failed_may_be_tried_again() {
    let world = world().await;
    let good = world.behind.answers.lock().unwrap().insert(RPC.into(), Err(14)).unwrap();
    assert_eq!(problem(create(&world, "k1", "a").send().await.unwrap()).await.0, 503);
    world.behind.answers.lock().unwrap().insert(RPC.into(), good);
    assert_eq!(create(&world, "k1", "a").send().await.unwrap().status(), 200);
    assert_eq!(world.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_outlives_the_day_only_until_it_is_over() {
    let world = world().await;
    assert_eq!(create(&world, "k1", "a").send().await.unwrap().status(), 200);
    world.clock.advance(SignedDuration::from_hours(25));
    assert_eq!(create(&world, "k1", "b").send().await.unwrap().status(), 200, "the key is free again");
}

#[tokio::test]
async fn a_refusal_is_an_answer_too() {
    let world = world().await;
    world.behind.faults.lock().unwrap().insert(RPC.into(), (kit::Code::Conflict, "already_exists"));
    let (status, code, first) = problem(create(&world, "k1", "a").send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (409, "already_exists"));
    world.behind.faults.lock().unwrap().clear();
    let again = create(&world, "k1", "a").send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    let (status, code, again) = problem(again).await;
    assert_eq!((status, code.as_str()), (409, "already_exists"));
    assert_ne!(first["request_id"], again["request_id"], "each names its own request");
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn an_answer_outlives_the_gateway_that_gave_it() {
    let world = world().await;
    assert_eq!(create(&world, "k1", "a").send().await.unwrap().status(), 200);
    let other = world.another().await;
    let mut again = create(&world, "k1", "a").build().unwrap();
    again.url_mut().set_port(Some(other)).unwrap();
    let again = world.http.execute(again).await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!(world.asked().len(), 1);
}

#[tokio::test]
async fn a_repetition_waits_for_the_first_and_no_longer_than_it_should() {
    let world = world().await;
    let held = world.behind.held.clone().write_owned().await;
    let create = || create(&world, "k1", "a").send();
    let first = tokio::spawn(create());
    let under_way = async || (!world.behind.asked.lock().unwrap().is_empty()).then_some(());
    testkit::eventually("the first being under way", under_way).await;
    let late = create().await.unwrap();
    assert!(late.headers().contains_key("retry-after"));
    let (status, code, _) = problem(late).await;
    assert_eq!((status, code.as_str()), (409, "request_in_progress"));

    let waiting = tokio::spawn(create());
    drop(held);
    let (first, waiting) = (first.await.unwrap().unwrap(), waiting.await.unwrap().unwrap());
    assert_eq!((first.status(), waiting.status()), (http::StatusCode::OK, http::StatusCode::OK));
    assert!(waiting.headers().contains_key("idempotent-replayed"));
    assert_eq!(first.bytes().await.unwrap(), waiting.bytes().await.unwrap());
    assert_eq!(world.asked().len(), 1, "done once");
}
