//! ETag and If-Match, beside `version`.

use prost::Message;
use proto::content::{Card, UpdateCardRequest};
use serde_json::json;

use crate::world::{World, problem};

const GET: &str = "retention.content.v1.CardService.GetCard";
const UPDATE: &str = "retention.content.v1.CardService.UpdateCard";
const PATH: &str = "/v1/cards/crd_1";

async fn world(shared: bool) -> World {
    let world = World::new().await;
    let card = Card { id: "crd_1".into(), name: "Stay".into(), version: 3, ..Default::default() };
    for rpc in [GET, UPDATE] {
        world.behind.answers.lock().unwrap().insert(rpc.into(), Ok(card.encode_to_vec().into()));
    }
    world.behind.shared.lock().unwrap().extend(shared.then(|| GET.to_owned()));
    world
}

async fn change(world: &World, tag: &str, body: serde_json::Value) -> reqwest::Response {
    world.admin("PATCH", PATH).header("if-match", tag).json(&body).send().await.unwrap()
}

#[tokio::test]
async fn a_reader_who_has_it_is_told_so() {
    for shared in [false, true] {
        let world = world(shared).await;
        // From the service first, from the gateway's own store then.
        for _ in 0..2 {
            let first = world.admin("GET", PATH).send().await.unwrap();
            assert_eq!(first.headers()["etag"], "\"v3\"");
            for known in ["\"v3\"", "W/\"v3\"", "\"v1\", \"v3\"", "*"] {
                let again = world.admin("GET", PATH).header("if-none-match", known).send().await.unwrap();
                assert_eq!(again.status(), 304, "{known}");
                assert_eq!(again.headers()["etag"], "\"v3\"");
                assert!(again.bytes().await.unwrap().is_empty());
            }
            let older = world.admin("GET", PATH).header("if-none-match", "\"v2\"").send().await.unwrap();
            assert_eq!(older.status(), 200);
        }
    }
}

#[tokio::test]
async fn the_tag_stands_for_the_version() {
    let world = world(false).await;
    let done = change(&world, "\"v3\"", json!({ "name": "Go" })).await;
    assert_eq!(done.status(), 200);
    let (_, _, message) = world.asked().pop().unwrap();
    let message = UpdateCardRequest::decode(message).unwrap();
    assert_eq!(message.version, 3);
    assert_eq!(message.update_mask.unwrap().paths, ["name"]);
    assert_eq!(change(&world, "\"v3\"", json!({ "name": "Go", "version": 3 })).await.status(), 200);
}

#[tokio::test]
async fn what_cannot_hold_reaches_no_service() {
    let world = world(false).await;
    let (status, code, _) =
        problem(change(&world, "\"v3\"", json!({ "name": "Go", "version": 2 })).await).await;
    assert_eq!((status, code.as_str()), (412, "etag_mismatch"));
    for wrong in ["3", "W/\"v3\"", "\"v3\", \"v4\"", "\"v03\"", "*"] {
        let (status, code, _) = problem(change(&world, wrong, json!({ "name": "Go" })).await).await;
        assert_eq!((status, code.as_str()), (400, "invalid_if_match"), "{wrong}");
    }
    let create = world.admin("POST", "/v1/persona-categories").header("if-match", "\"v1\"");
    let (status, code, _) = problem(create.json(&json!({ "name": "a" })).send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (400, "if_match_not_supported"));
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_stale_version_is_412_to_who_sent_the_tag_and_409_to_who_sent_the_field() {
    let world = world(false).await;
    world.behind.faults.lock().unwrap().insert(UPDATE.into(), (kit::Code::Conflict, "stale_version"));
    let (status, code, _) = problem(change(&world, "\"v2\"", json!({ "name": "Go" })).await).await;
    assert_eq!((status, code.as_str()), (412, "etag_mismatch"));
    let field = world.admin("PATCH", PATH).json(&json!({ "name": "Go", "version": 2 }));
    let (status, code, _) = problem(field.send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (409, "stale_version"));
}
