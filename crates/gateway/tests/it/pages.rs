//! Pages of others and of our own: who may call from where, and what a browser is given.

use aws_lc_rs::digest::{SHA384, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header;
use serde_json::{Value, json};

use crate::world::{FLOW, World, problem};

const APP: &str = "https://app.retention.example";
const SHOP: &str = "https://www.telco.example";
const SESSION: &str = "/v1/flow/sessions/fls_1";

/// Who a preflight of this origin lets in, and whether with credentials.
async fn preflight(world: &World, path: &str, origin: &str) -> (Option<String>, bool) {
    let asked = world
        .request("OPTIONS", path)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type")
        .send();
    let answer = asked.await.unwrap();
    let header =
        |name| answer.headers().get(name).map(|v: &http::HeaderValue| v.to_str().unwrap().to_owned());
    let allowed = header(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    (allowed, header(header::ACCESS_CONTROL_ALLOW_CREDENTIALS).is_some())
}

#[tokio::test]
async fn a_widget_is_let_in_from_its_company_s_pages_only() {
    let world = World::browsers(APP).await;
    world.behind.origins.lock().unwrap().insert(SHOP.into(), vec!["com_1".into()]);
    world.behind.origins.lock().unwrap().insert("https://other.example".into(), vec!["com_2".into()]);
    assert_eq!(preflight(&world, SESSION, SHOP).await, (Some(SHOP.into()), false));
    let verify = "/v1/hosted/telco/verify";
    assert_eq!(preflight(&world, verify, SHOP).await, (Some(SHOP.into()), false));
    assert_eq!(preflight(&world, "/v1/hosted/telco/token", SHOP).await.0, None);
    assert_eq!(preflight(&world, "/v1/cards", SHOP).await.0, None, "a shop's page is no dashboard");
    assert_eq!(preflight(&world, "/v1/cards", APP).await, (Some(APP.into()), true));
    for stranger in ["https://evil.example", "null", "https://www.telco.example.evil.example"] {
        assert_eq!(preflight(&world, SESSION, stranger).await.0, None, "{stranger}");
    }
    let ask = async |origin: &str| {
        world.request("GET", SESSION).bearer_auth(FLOW).header(header::ORIGIN, origin).send().await.unwrap()
    };
    let good = ask(SHOP).await;
    assert_eq!(good.status(), 200);
    assert_eq!(good.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], SHOP);
    assert!(good.headers().get_all(header::VARY).iter().any(|v| v.to_str().unwrap().contains("origin")));
    for foreign in ["https://other.example", "https://evil.example", "null"] {
        let (status, code, _) = problem(ask(foreign).await).await;
        assert_eq!((status, code.as_str()), (403, "origin_not_allowed"), "{foreign}");
    }
    let served_here = ask(&world.at).await;
    assert_eq!(served_here.status(), 200, "the hosted page");
}

#[tokio::test]
async fn a_customer_is_heard_though_nobody_can_say_whose_page_it_is() {
    let world = World::browsers(APP).await;
    world.behind.deaf.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(preflight(&world, SESSION, SHOP).await.0, Some(SHOP.into()));
    let cancel = world.request("POST", &format!("{SESSION}/cancel")).bearer_auth(FLOW);
    let cancel = cancel.header(header::ORIGIN, SHOP).json(&json!({})).send().await.unwrap();
    assert_eq!(cancel.status(), 200);
}

#[tokio::test]
async fn sign_in_waits_for_identity_and_who_is_in_goes_on() {
    let world = World::new().await;
    let read = || world.admin("GET", "/v1/cards/crd_1");
    assert_eq!(read().send().await.unwrap().status(), 200);
    world.behind.deaf.store(true, std::sync::atomic::Ordering::SeqCst);
    world.clock.advance(jiff::SignedDuration::from_secs(60));
    assert_eq!(read().send().await.unwrap().status(), 200, "what is known of the session serves on");
    let body = json!({ "email": "ada@telco.example" });
    let down = world.request("POST", "/v1/sessions").json(&body).send().await.unwrap();
    assert_eq!(down.status(), 503);
    assert!(down.headers().contains_key(header::RETRY_AFTER));
}

#[tokio::test]
async fn the_files_of_a_dashboard_are_kept_by_their_names() {
    let folder = std::env::temp_dir().join(kit::id::new("ui"));
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    std::fs::write(folder.join("index.html"), "<!doctype html><title>app</title>").unwrap();
    std::fs::write(folder.join("assets/index-BkX3f9aQ.js"), "export {}").unwrap();
    let world = World::with(&[format!("--ui-dir={}", folder.display())]).await;
    let get = async |path: &str, accept: &str| {
        world.request("GET", path).header(header::ACCEPT, accept).send().await.unwrap()
    };
    let kept = |r: &reqwest::Response| r.headers()[header::CACHE_CONTROL].to_str().unwrap().to_owned();
    let script = get("/assets/index-BkX3f9aQ.js", "*/*").await;
    assert_eq!(kept(&script), "public, max-age=31536000, immutable");
    assert!(script.headers()[header::CONTENT_TYPE].to_str().unwrap().contains("javascript"));
    for path in ["/", "/offers/off_1/edit"] {
        let page = get(path, "text/html").await;
        assert_eq!((page.status().as_u16(), kept(&page).as_str()), (200, "no-cache"), "{path}");
        assert!(
            !page.headers()[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .contains("'unsafe-inline'; script")
        );
        assert!(page.text().await.unwrap().contains("<title>app"));
    }
    for path in [
        "/v1/nothing",
        "/m/none",
        "/assets/gone-BkX3f9aQ.js",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        assert_eq!(problem(get(path, "*/*").await).await.0, 404, "{path}");
    }
    assert_eq!(problem(get("/v1/nothing", "text/html").await).await.0, 404, "the API has no pages");
    let posted = world.request("POST", "/offers").send().await.unwrap();
    assert_eq!(posted.headers()[header::ALLOW], "GET, HEAD");
    assert_eq!(posted.status(), 405);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn the_widget_is_loaded_by_any_page_that_names_its_hash() {
    let world = World::browsers(APP).await;
    let get = async |path: &str, origin: &str| {
        world.request("GET", path).header(header::ORIGIN, origin).send().await.unwrap()
    };
    let header = |r: &reqwest::Response, name: &str| r.headers()[name].to_str().unwrap().to_owned();
    let manifest: Value = get("/widget/v1/manifest.json", SHOP).await.json().await.unwrap();
    let path = manifest["path"].as_str().unwrap();
    for origin in [SHOP, "https://somebody.example"] {
        let script = get(path, origin).await;
        assert_eq!(header(&script, "cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(header(&script, "access-control-allow-origin"), "*", "without it no hash is compared");
        assert!(header(&script, "content-type").starts_with("text/javascript"));
        let tag = header(&script, "etag");
        let hash = digest(&SHA384, &script.bytes().await.unwrap());
        assert_eq!(manifest["integrity"], format!("sha384-{}", STANDARD.encode(hash)));
        let again = world.request("GET", path).header(header::IF_NONE_MATCH, tag).send().await.unwrap();
        assert_eq!(again.status(), 304);
    }
    let newest = get("/widget/v1/retention.js", SHOP).await;
    assert_eq!(header(&newest, "cache-control"), "public, max-age=300");
    let (newest, named) = (newest.bytes().await.unwrap(), get(path, SHOP).await.bytes().await.unwrap());
    assert_eq!(newest, named);
    for gone in ["/widget/v1/retention-0.0.1.js", "/widget/v1/../src/flow.ts", "/widget/v2/retention.js"] {
        assert_eq!(problem(get(gone, SHOP).await).await.0, 404, "{gone}");
    }
    let posted = world.request("POST", "/widget/v1/retention.js").send().await.unwrap();
    assert_eq!(posted.status(), 405);
}
