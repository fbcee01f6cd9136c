//! Bad input at every public route: the right problem, and nothing of it reaches a service.

use gateway::edge::descriptors::{self, Body, Operation};
use proto::edge::Auth;
use serde_json::{Value, json};

use crate::world::{FLOW, SECRET, World, problem};

/// The operation's path, with something for every variable.
fn path(op: &Operation) -> String {
    let mut path = op.template.description();
    for name in op.template.variables() {
        // A flow token opens its own session only.
        let value = if op.auth() == Auth::Widget { "fls_1" } else { "abc" };
        let field = op.input.get_field_by_name(name).unwrap();
        let value = match field.kind() {
            prost_reflect::Kind::Enum(names) => {
                let some = names.values().find(|v| v.number() != 0).unwrap();
                gateway::edge::bind::short_name(&names, some.name())
            }
            prost_reflect::Kind::String => value.to_owned(),
            _ => "1".to_owned(),
        };
        path = path.replace(&format!("{{{name}}}"), &value);
    }
    path
}

fn all() -> Vec<std::sync::Arc<Operation>> {
    descriptors::load().unwrap()
}

/// A request by somebody who may.
fn allowed(world: &World, op: &Operation) -> reqwest::RequestBuilder {
    let request = world.request(op.method.as_str(), &path(op));
    match op.auth() {
        Auth::Widget => request.bearer_auth(FLOW),
        Auth::Machine => request.bearer_auth(SECRET),
        Auth::User => request.bearer_auth(world.token(&json!({}))),
        _ => request,
    }
}

/// Whom `allowed` makes the request as, an operator where the operation is an operator's alone.
fn for_operators(op: &Operation) -> bool {
    op.auth() == Auth::User && !op.rule.roles.iter().any(|r| r == "ret_admin")
}

async fn refused(
    world: &World,
    op: &Operation,
    what: &str,
    request: reqwest::RequestBuilder,
    status: u16,
) -> (String, Value) {
    let (got, code, body) = problem(request.send().await.unwrap()).await;
    assert_eq!(got, status, "{what} at {} {}: {body}", op.method, path(op));
    let reached = world.asked();
    assert!(reached.is_empty(), "{what} at {} {} reached {}", op.method, path(op), reached[0].0);
    (code, body)
}

#[tokio::test]
async fn nobody_in_particular_gets_nowhere() {
    let world = World::new().await;
    for op in all().iter().filter(|op| !matches!(op.auth(), Auth::Public | Auth::Signed)) {
        let (code, _) =
            refused(&world, op, "no credential", world.request(op.method.as_str(), &path(op)), 401).await;
        assert_eq!(code, "unauthenticated");
        let wrong = world.request(op.method.as_str(), &path(op)).bearer_auth("rsk_live_of_nobody");
        refused(&world, op, "an unknown key", wrong, 401).await;
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_everywhere() {
    let world = World::new().await;
    let with_body = all().into_iter().filter(|op| !matches!(op.body, Body::None) && !for_operators(op));
    for op in with_body {
        let json = |text: &str| {
            allowed(&world, &op).header("content-type", "application/json").body(text.to_owned())
        };
        let (code, _) = refused(&world, &op, "broken JSON", json("{\"a\":"), 400).await;
        assert_eq!(code, "invalid_json");
        refused(&world, &op, "an array", json("[]"), 400).await;
        refused(&world, &op, "text", json("\"x\""), 400).await;
        let (_, body) = refused(&world, &op, "an unknown field", json(r#"{"no_such_field":1}"#), 422).await;
        let errors = body["errors"].as_array().unwrap();
        assert!(
            errors.iter().any(|e| e["field"] == "no_such_field" && e["code"] == "unknown_field"),
            "{body}"
        );
        // At one place forms are read: a page of ours sends them.
        if op.rpc.name() != "VerifyHostedCustomer" {
            let form =
                allowed(&world, &op).header("content-type", "application/x-www-form-urlencoded").body("a=b");
            let (code, _) = refused(&world, &op, "a form", form, 415).await;
            assert_eq!(code, "unsupported_media_type");
        }
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(op.max_body() + 1));
        let (code, _) = refused(&world, &op, "too large a body", json(&large), 413).await;
        assert_eq!(code, "too_large");
        let deep = format!("{}{}", r#"{"no_such_field":"#.repeat(200), "1");
        refused(&world, &op, "a body nested too deeply", json(&deep), 400).await;
    }
}

#[tokio::test]
async fn a_field_of_the_wrong_type_is_named() {
    let world = World::new().await;
    let with_body = all().into_iter().filter(|op| matches!(op.body, Body::Whole) && !for_operators(op));
    for op in with_body {
        let bound = op.template.variables();
        for field in op.input.fields().filter(|f| !bound.contains(&f.name())) {
            // A free value takes anything.
            if matches!(field.kind(), prost_reflect::Kind::Message(m) if m.full_name() == "google.protobuf.Value")
            {
                continue;
            }
            let wrong = if field.is_list() { json!(true) } else { json!([[1]]) };
            let body = json!({ field.name(): wrong });
            let (_, body) = refused(&world, &op, "a wrong type", allowed(&world, &op).json(&body), 422).await;
            let named = body["errors"]
                .as_array()
                .unwrap()
                .iter()
                .any(|e| e["field"] == field.name() && e["code"] == "wrong_type");
            assert!(named, "{}: {body}", field.full_name());
        }
    }
}

#[tokio::test]
async fn a_typo_in_a_query_does_not_widen_a_result() {
    let world = World::new().await;
    for op in all().iter().filter(|op| op.is_read() && !for_operators(op) && op.auth() != Auth::Signed) {
        let (_, body) = refused(
            &world,
            op,
            "an unknown parameter",
            allowed(&world, op).query(&[("staus", "active")]),
            422,
        )
        .await;
        assert_eq!(body["errors"][0]["field"], "staus");
    }
    for op in all().iter().filter(|op| op.input.get_field_by_name("cursor").is_some() && !for_operators(op)) {
        refused(&world, op, "a page too large", allowed(&world, op).query(&[("limit", "100000")]), 422).await;
        refused(&world, op, "a page of no size", allowed(&world, op).query(&[("limit", "many")]), 422).await;
    }
}

#[tokio::test]
async fn what_is_not_there_and_what_a_path_cannot_do_is_said_as_a_problem() {
    let world = World::new().await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/cards/a/b/c", "/v2/cards"] {
        let (status, code, _) = problem(world.admin("GET", path).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (404, "not_found"), "{path}");
    }
    let response = world.admin("DELETE", "/v1/cards").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, POST");
    let (status, code, _) = problem(response).await;
    assert_eq!((status, code.as_str()), (405, "method_not_allowed"));
    let (status, ..) = problem(world.admin("GET", "/v1/cards/%ff").send().await.unwrap()).await;
    assert_eq!(status, 400, "a path that is no UTF-8");
}

#[tokio::test]
async fn what_a_service_says_of_its_inside_stays_inside() {
    let world = World::new().await;
    let rpc = "retention.content.v1.CardService.GetCard";
    for (grpc, status) in [(13, 500), (14, 503), (2, 500), (4, 504)] {
        world.behind.answers.lock().unwrap().insert(rpc.into(), Err(grpc));
        let (got, _, body) = problem(world.admin("GET", "/v1/cards/crd_1").send().await.unwrap()).await;
        assert_eq!(got, status, "{body}");
        assert!(!body.to_string().contains("10.0.0.1"), "{body}");
    }
    world.behind.answers.lock().unwrap().insert(rpc.into(), Ok("no protobuf \u{7f}".into()));
    let (got, ..) = problem(world.admin("GET", "/v1/cards/crd_1").send().await.unwrap()).await;
    assert_eq!(got, 500, "a damaged reply");
}
