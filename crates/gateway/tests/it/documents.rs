//! What the gateway says of itself.

use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn the_description_is_served_and_every_reference_in_it_leads_somewhere() {
    let world = World::new().await;
    let document: Value =
        world.request("GET", "/v1/openapi.json").send().await.unwrap().json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"].as_object().unwrap().len() > 40);
    check(&document, &document);
    let mut ids = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
            assert!(
                operation["summary"].as_str().is_some_and(|s| !s.is_empty()),
                "{method} {path} says nothing of itself"
            );
        }
    }
}

fn check(part: &Value, document: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let found = document.pointer(reference.strip_prefix('#').unwrap());
                assert!(found.is_some_and(|f| !f.is_null()), "{reference} leads nowhere");
            }
            fields.values().for_each(|f| check(f, document));
        }
        Value::Array(items) => items.iter().for_each(|f| check(f, document)),
        _ => {}
    }
}

#[tokio::test]
async fn the_page_reads_it_without_the_network() {
    let world = World::new().await;
    let page = world.request("GET", "/docs").send().await.unwrap();
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("connect-src 'self'"), "{policy}");
    let text = page.text().await.unwrap();
    assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
    for name in text.split(['"', '\'']).filter(|p| p.ends_with(".js") || p.ends_with(".css")) {
        let file =
            world.request("GET", &format!("/docs/{}", name.trim_start_matches("./"))).send().await.unwrap();
        assert_eq!(file.status(), 200, "{name}");
    }
    assert_eq!(world.request("GET", "/docs/nothing.js").send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn versions_keys_and_probes_answer() {
    let world = World::new().await;
    let versions: Value = world.request("GET", "/v1/versions").send().await.unwrap().json().await.unwrap();
    assert_eq!(versions["items"][0]["version"], "v1");
    let keys: Value =
        world.request("GET", "/.well-known/jwks.json").send().await.unwrap().json().await.unwrap();
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(world.request("GET", probe).send().await.unwrap().status(), 200);
    }
    let me: Value = world.admin("GET", "/v1/me/bootstrap").send().await.unwrap().json().await.unwrap();
    assert_eq!((me["mode"].as_str(), me["unread"].as_i64()), (Some("live"), Some(0)));
    assert!(me["flags"].is_object());
}

#[tokio::test]
async fn each_path_says_all_its_methods() {
    let world = World::new().await;
    let document: Value =
        world.request("GET", "/v1/openapi.json").send().await.unwrap().json().await.unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let answer = world.request("TRACE", &path.replace(['{', '}'], "")).send().await.unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed = answer.headers()["allow"].to_str().unwrap().to_lowercase();
        for method in methods.as_object().unwrap().keys() {
            assert!(allowed.split(", ").any(|m| m == method), "{path} has {method}, and says {allowed}");
        }
    }
}

#[tokio::test]
async fn the_description_holds_the_rules_a_request_is_held_to() {
    let document: Value = serde_json::from_str(&gateway::openapi_document().unwrap()).unwrap();
    let of = |name: &str| document["components"]["schemas"][name].clone();
    // One of several is not required, however long it must be when it is there.
    assert_eq!(of("content.Rule")["required"], Value::Null);
    // Zero is no version, and "unspecified" no kind.
    let described = |path: &str| {
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"].clone()
    };
    let publish = described("/v1/cards/{id}/publish");
    assert!(publish["required"].as_array().unwrap().contains(&"version".into()), "{publish}");
    let key = described("/v1/companies/{id}/api-keys");
    assert_eq!(key["properties"]["mode"]["enum"], serde_json::json!(["live", "test"]));
    assert!(key["properties"]["scopes"]["items"]["enum"].as_array().unwrap().len() > 5, "{key}");
}
