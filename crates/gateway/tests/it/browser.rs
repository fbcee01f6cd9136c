//! Browsers: tokens in cookies, and what another site cannot make them do.

use http::header;
use prost::Message as _;
use proto::identity::SessionGrant;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::world::{World, problem};

const SESSIONS: &str = "retention.identity.v1.UserSessionService";
const APP: &str = "https://app.retention.example";

fn granted(world: &World, rpc: &str) {
    let grant = SessionGrant {
        state: 2,
        session_id: "ses_1".into(),
        access_token: world.token(&json!({})),
        refresh_token: "rrt_secret".into(),
        expires_in: 600,
        role: 2,
        company_id: "com_1".into(),
        csrf_token: String::new(),
    };
    let rpc = format!("{SESSIONS}.{rpc}");
    world.behind.answers.lock().unwrap().insert(rpc, Ok(grant.encode_to_vec().into()));
}

/// The cookies an answer sets, by name, with their attributes.
fn set(response: &reqwest::Response) -> Vec<(String, String)> {
    let all = response.headers().get_all(header::SET_COOKIE).iter();
    all.map(|v| v.to_str().unwrap().split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned())).unwrap())
        .collect()
}

/// Signs in as a browser; what it sends back as `Cookie`, and its CSRF token.
async fn sign_in(world: &World) -> (String, String) {
    granted(world, "CreateSession");
    let sent = world
        .request("POST", "/v1/sessions")
        .header("retention-session", "cookie")
        .header(header::ORIGIN, APP)
        .json(&json!({ "email": "ada@telco.example", "code": "123456" }))
        .send();
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 200);
    let cookies = set(&response);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["access_token"], &body["refresh_token"]),
        (&json!(""), &json!("")),
        "no script sees them"
    );
    let attributes: Vec<_> =
        cookies.iter().map(|(n, v)| (n.as_str(), v.split_once("; ").unwrap().1)).collect();
    assert_eq!(
        attributes,
        [
            ("__Host-session", "Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax"),
            (
                "__Secure-refresh",
                "Path=/v1/sessions/refresh; Max-Age=43200; Secure; HttpOnly; SameSite=Strict"
            ),
            ("__Host-csrf", "Path=/; Max-Age=43200; Secure; SameSite=Lax"),
        ]
    );
    let value = |v: &str| v.split(';').next().unwrap().to_owned();
    let sent: Vec<_> = cookies.iter().map(|(n, v)| format!("{n}={}", value(v))).collect();
    (sent.join("; "), body["csrf_token"].as_str().unwrap().to_owned())
}

async fn refused(sent: RequestBuilder) -> (u16, String) {
    let (status, code, _) = problem(sent.send().await.unwrap()).await;
    (status, code)
}

#[tokio::test]
async fn a_browser_acts_with_its_cookie_and_the_value_bound_to_its_session() {
    let world = World::browsers(APP).await;
    let (cookies, csrf) = sign_in(&world).await;
    world.asked();
    let read = world.request("GET", "/v1/cards/crd_1").header(header::COOKIE, &cookies).send().await.unwrap();
    assert_eq!(read.status(), 200);
    let write = || {
        let request = world.request("POST", "/v1/cards/crd_1/duplicate").header(header::COOKIE, &cookies);
        request.json(&json!({}))
    };
    let good = write().header(header::ORIGIN, APP).header("x-csrf-token", &csrf).send().await.unwrap();
    assert_eq!(good.status(), 200);
    let fetched = write().header("sec-fetch-site", "same-origin").header("x-csrf-token", &csrf);
    assert_eq!(
        fetched.send().await.unwrap().status(),
        200,
        "no Origin, but the browser says whose page it is"
    );
    let asked = world.asked();
    assert!(asked.iter().all(|(_, caller, _)| caller.actor.id == "usr_1"));
    assert_eq!(asked.len(), 3);

    let csrf_refused = (403, "csrf_token_invalid".to_owned());
    let origin_refused = (403, "origin_not_allowed".to_owned());
    assert_eq!(
        refused(write().header(header::ORIGIN, APP)).await,
        csrf_refused,
        "a cookie without CSRF token"
    );
    let other = write().header(header::ORIGIN, APP).header("x-csrf-token", format!("{csrf}0"));
    assert_eq!(refused(other).await, csrf_refused);
    for origin in ["https://evil.example", "null", "https://app.retention.example.evil.example"] {
        let foreign = write().header(header::ORIGIN, origin).header("x-csrf-token", &csrf);
        assert_eq!(refused(foreign).await, origin_refused, "{origin}");
    }
    let cross = write().header("sec-fetch-site", "cross-site").header("x-csrf-token", &csrf);
    assert_eq!(refused(cross).await, origin_refused);
    assert_eq!(refused(write().header("x-csrf-token", &csrf)).await, origin_refused, "neither is said");
    let form = world
        .request("POST", "/v1/cards/crd_1/duplicate")
        .header(header::COOKIE, &cookies)
        .header(header::ORIGIN, APP)
        .header("x-csrf-token", &csrf)
        .header(header::CONTENT_TYPE, "text/plain")
        .body("{}");
    assert_eq!(refused(form).await.0, 415);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_browser_refreshes_and_signs_out_without_seeing_a_token() {
    let world = World::browsers(APP).await;
    let (cookies, csrf) = sign_in(&world).await;
    granted(&world, "RefreshSession");
    world.asked();
    let refresh = || {
        let request = world.request("POST", "/v1/sessions/refresh").header(header::COOKIE, &cookies);
        request.header(header::ORIGIN, APP).json(&json!({}))
    };
    assert_eq!(refused(refresh()).await.1, "csrf_token_invalid");
    let response = refresh().header("x-csrf-token", &csrf).send().await.unwrap();
    assert_eq!((response.status().as_u16(), set(&response).len()), (200, 3));
    let (_, _, message) = world.asked().remove(0);
    let said = proto::identity::RefreshSessionRequest::decode(message).unwrap();
    assert_eq!(said.refresh_token, "rrt_secret");

    let out = world.request("DELETE", "/v1/sessions/current").header(header::COOKIE, &cookies);
    let out = out.header(header::ORIGIN, APP).header("x-csrf-token", &csrf).send().await.unwrap();
    assert!(set(&out).iter().all(|(_, v)| v.starts_with(';') && v.contains("Max-Age=0")));
    assert_eq!(set(&out).len(), 3);
}

#[tokio::test]
async fn nobody_is_signed_in_by_another_site() {
    let world = World::browsers(APP).await;
    granted(&world, "CreateSession");
    let sign_in = world.request("POST", "/v1/sessions").header("retention-session", "cookie");
    let sign_in = sign_in.header(header::ORIGIN, "https://evil.example");
    let sign_in = sign_in.json(&json!({ "email": "mallory@evil.example", "code": "123456" }));
    assert_eq!(refused(sign_in).await, (403, "origin_not_allowed".into()));
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn machines_and_apps_keep_their_tokens_in_the_body() {
    let world = World::browsers(APP).await;
    granted(&world, "CreateSession");
    let body = json!({ "email": "ada@telco.example", "code": "123456" });
    let response = world.request("POST", "/v1/sessions").json(&body).send().await.unwrap();
    assert!(set(&response).is_empty());
    let said: Value = response.json().await.unwrap();
    assert_eq!(said["refresh_token"], "rrt_secret");
    assert_eq!(said["csrf_token"], "");
}
