//! The fake on the wire: keys, faults, the check against WorkOS' own description, and the sending of events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use kit::clock::Clock;
use serde_json::{Value, json};

use super::api::{self, Asked};
use super::spec::{self, spec};
use super::{API_KEY, CLIENT_ID, Code, Fault, Inner, Seen, Shared};

pub async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query: Vec<_> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let body: Option<Value> = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap_or_default());
    let mut inner = shared.lock();
    let path = uri.path().to_owned();
    let seen =
        Seen { method: method.to_string(), path: path.clone(), body: body.clone().unwrap_or_default() };
    inner.seen.push(seen);
    match inner.faults.pop_front() {
        Some(Fault::TooMany) => {
            let text = json!({ "message": "Too many requests" });
            return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")], axum::Json(text))
                .into_response();
        }
        Some(Fault::Broken) => return (StatusCode::BAD_GATEWAY, "<html>502</html>").into_response(),
        Some(Fault::Gibberish) => return "{\"id\": ".into_response(),
        None => {}
    }
    let Some(operation) = spec().operation(method.as_str(), &path) else {
        inner.wrong.push(format!("{method} {path} is no operation of WorkOS"));
        return StatusCode::NOT_FOUND.into_response();
    };
    let told = |what: Vec<String>, side: &str| {
        what.into_iter().map(|w| format!("{method} {path}, {side}: {w}")).collect::<Vec<_>>()
    };
    let faults = told(spec().request(operation, &query, body.as_ref()), "request");
    inner.wrong.extend(faults);
    match path.as_str() {
        "/user_management/authorize" => return authorize(&shared, &mut inner, &query, "organization_id"),
        "/sso/authorize" => return authorize(&shared, &mut inner, &query, "organization"),
        _ => {}
    }
    let trades = ["/user_management/authenticate", "/sso/token"].contains(&path.as_str());
    let open = trades || path.starts_with("/sso/jwks/");
    let key = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    if !open && key != Some(&format!("Bearer {API_KEY}")) {
        return (StatusCode::UNAUTHORIZED, axum::Json(json!({ "message": "Unauthorized" }))).into_response();
    }
    let (body, now) = (body.unwrap_or_default(), shared.clock.now());
    let asked = Asked {
        method: method.as_str(),
        path: path.trim_start_matches('/').split('/').collect(),
        query: &query,
        body: &body,
        base: &shared.url,
        now,
    };
    let (status, answer) = api::answer(&mut inner, &asked);
    if !std::mem::take(&mut inner.made_up) {
        let faults = told(spec::answer(operation, status, &answer), "answer");
        inner.wrong.extend(faults);
    }
    deliver(&shared, &mut inner);
    let status = StatusCode::from_u16(status).expect("a status");
    let mut response = match answer {
        Value::Null => status.into_response(),
        answer => (status, axum::Json(answer)).into_response(),
    };
    response.headers_mut().insert("x-request-id", http::HeaderValue::from_static("fake-request"));
    response
}

/// The sign-in page, where whoever is named signs in at once.
fn authorize(shared: &Shared, inner: &mut Inner, query: &[(String, String)], organization: &str) -> Response {
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default();
    let email = inner.signs_in.take().unwrap_or_else(|| get("login_hint").to_owned());
    let mut back = url_with(get("redirect_uri"), &[("state", get("state"))]);
    let known = inner.world.by_email(&email);
    let ready = get("client_id") == CLIENT_ID
        && get("response_type") == "code"
        && inner.world.get("organization", get(organization)).is_some();
    match known {
        Some(user) if ready => {
            let code = inner.world.id("code");
            let now = shared.clock.now();
            let known = Code {
                user: user["id"].as_str().unwrap_or_default().to_owned(),
                organization: get(organization).to_owned(),
                challenge: get("code_challenge").to_owned(),
                expires_at: now.checked_add(jiff::SignedDuration::from_mins(10)).unwrap_or(now),
            };
            inner.codes.insert(code.clone(), known);
            back = url_with(&back, &[("code", &code)]);
        }
        _ => {
            let text = "The user denied the request.";
            back = url_with(&back, &[("error", "access_denied"), ("error_description", text)]);
        }
    }
    (StatusCode::FOUND, [(header::LOCATION, back)]).into_response()
}

fn url_with(url: &str, pairs: &[(&str, &str)]) -> String {
    let more = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{url}{}{more}", if url.contains('?') { '&' } else { '?' })
}

/// Sends what waits; each event up to three times until it is taken, signed anew every time.
#[expect(clippy::disallowed_methods, reason = "a fake server has no process to drain with")]
pub fn deliver(shared: &Arc<Shared>, inner: &mut Inner) {
    let events = std::mem::take(&mut inner.world.outbox);
    for event in &events {
        let faults = spec::event(event);
        inner.wrong.extend(faults.into_iter().map(|w| format!("event {}: {w}", event["event"])));
    }
    let Some(url) = inner.webhooks.clone().filter(|_| !events.is_empty()) else { return };
    let (clock, secret) = (shared.clock.clone(), inner.secret.clone());
    tokio::spawn(async move {
        let settings = connect::http::Settings { private_networks: true, ..Default::default() };
        let http = connect::http::Http::new(settings).expect("a client");
        for event in events {
            let body = Bytes::from(event.to_string());
            for _ in 0..3 {
                let signature = connect::sign::sign_workos(&secret.as_str().into(), clock.now(), &body);
                let call = http
                    .call("fake-workos", "webhook", Method::POST, &url)
                    .header("workos-signature", &signature)
                    .body(body.clone(), "application/json")
                    .once();
                if call.send().await.is_ok_and(|a| a.is_success()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
}
