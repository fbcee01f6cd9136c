//! Invariant 4: no record is reachable with another company's or another mode's credentials. Not read, not changed, and
//! not told apart from one that is not there.

use serde_json::{Value, json};
use stack::load::api::{Api, Refused};

use crate::company::Company;
use crate::world::World;

/// The status a call was answered with.
async fn status(api: &Api, method: &str, path: &str, body: Option<Value>) -> u16 {
    match api.call(method, path, body).await {
        Ok(_) => 200,
        Err(e) => e.downcast_ref::<Refused>().map_or(0, |r| r.status),
    }
}

#[tokio::test]
async fn invariant_4_another_companys_and_another_modes_records_are_not_there() {
    let world = World::start().await;
    let ours = Company::demo(&world).await;
    let theirs = Company::bare(&world).await;
    let (screen, _) = ours.enter().await;
    let test_mode = ours.admin.with_header("retention-mode", "test".into());
    let test_key = ours.public.with_token(ours.noted["api_key_test"].as_str().unwrap());

    let lists = [
        "/v1/customers",
        "/v1/subscriptions",
        "/v1/offers",
        "/v1/cards",
        "/v1/card-elements",
        "/v1/templates",
        "/v1/questionnaires",
        "/v1/workflows",
        "/v1/personas",
        "/v1/usage/uploads",
        "/v1/flow-sessions",
    ];
    let mut looked_at = 0;
    for list in lists {
        let page = ours.admin.get(&format!("{list}?limit=5")).await.unwrap();
        let id = page["items"][0]["id"].as_str().unwrap_or_else(|| panic!("{list} is empty: {page}"));
        let path = format!("{list}/{id}");
        assert_eq!(status(&ours.admin, "GET", &path, None).await, 200, "{path}");
        for (who, api) in [("another company", &theirs.admin), ("another mode", &test_mode)] {
            assert_eq!(status(api, "GET", &path, None).await, 404, "{path} by {who}");
            let seen = api.get(&format!("{list}?limit=200")).await.unwrap().to_string();
            assert!(!seen.contains(id), "{list} by {who} shows {id}");
        }
        looked_at += 1;
    }
    assert_eq!(looked_at, lists.len());

    let customer = ours.admin.get("/v1/customers?limit=1").await.unwrap()["items"][0].clone();
    let by_key = format!("/v1/customers/{}", customer["id"].as_str().unwrap());
    assert_eq!(status(&ours.machine, "GET", &by_key, None).await, 200);
    assert_eq!(status(&test_key, "GET", &by_key, None).await, 404);
    assert_eq!(status(&theirs.machine, "GET", &by_key, None).await, 404);

    // Acts change nothing and say the same.
    let offer = ours.admin.get("/v1/offers?limit=1").await.unwrap()["items"][0].clone();
    let id = offer["id"].as_str().unwrap();
    let change = json!({ "version": offer["version"], "name": "theirs" });
    for api in [&theirs.admin, &test_mode] {
        assert_eq!(status(api, "PATCH", &format!("/v1/offers/{id}"), Some(change.clone())).await, 404);
        assert_eq!(status(api, "POST", &format!("/v1/offers/{id}/pause"), Some(json!({}))).await, 404);
        let link = json!({ "customer": ours.customer() });
        assert_ne!(status(api, "POST", "/v1/flow/tokens", Some(link)).await, 200);
    }
    let session = format!("/v1/flow/sessions/{}", screen["session_id"].as_str().unwrap());
    for api in [&theirs.machine, &test_key, &theirs.admin] {
        assert!(matches!(
            status(api, "POST", &format!("{session}/cancel"), Some(json!({}))).await,
            403 | 404
        ));
    }
    let link = json!({ "customer": ours.customer() });
    assert_eq!(status(&theirs.machine, "POST", "/v1/flow/tokens", Some(link)).await, 404);
    assert_eq!(ours.admin.get(&format!("/v1/offers/{id}")).await.unwrap(), offer);
    assert_eq!(ours.at_provider().await["state"], "active");
    world.stack.stop().await.unwrap();
}
