//! The fake on the wire: keys, versions, idempotency for an hour, limits, faults, the check against Recurly's own
//! description, and the sending of notifications.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use kit::clock::Clock;
use serde_json::{Value, json};

use super::api::{self, Asked, Problem};
use super::spec::{self, spec};
use super::{Answered, Fault, Inner, KEY, Seen, Shared, VERSION};
use crate::shell;

/// How long an answer is kept for its key.
const KEPT: i64 = 3_600;

pub async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fault = {
        shared.lock().asked(Seen {
            method: method.to_string(),
            path: uri.path().to_owned(),
            query: uri.query().unwrap_or_default().to_owned(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            idempotency_key: header(&headers, "idempotency-key").map(str::to_owned),
        })
    };
    let now = shared.clock.now();
    let problem = |status, kind, message: &str| said(status, Problem::new(status, kind, message).body(), &[]);
    let over = |seconds: i64| {
        let mut answer = problem(429, "rate_limited", "You have made too many API requests");
        let reset = (now.as_second() + seconds).to_string();
        answer.headers_mut().insert("x-ratelimit-limit", "400".parse().expect("a header"));
        answer.headers_mut().insert("x-ratelimit-remaining", "0".parse().expect("a header"));
        answer.headers_mut().insert("x-ratelimit-reset", reset.parse().expect("a header"));
        answer
    };
    match fault {
        Some(Fault::TooMany) => return over(1),
        Some(Fault::TooManyForLong) => return over(240),
        Some(Fault::KeyInUse) => {
            let mut answer = problem(409, "simultaneous_request", "A request with this key is under way");
            answer.headers_mut().insert("recurly-should-retry", "true".parse().expect("a header"));
            answer.headers_mut().insert("retry-after", "0".parse().expect("a header"));
            return answer;
        }
        Some(Fault::Broken) => return problem(500, "internal_server_error", "We made a mistake"),
        Some(Fault::BrokenHtml) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "<html><h1>503</h1></html>").into_response();
        }
        Some(Fault::Gibberish) => return "{\"id\": ".into_response(),
        Some(Fault::Forbidden) => return problem(403, "invalid_permissions", "The key may only read"),
        Some(Fault::Declined) => {
            let mut body = Problem::new(422, "transaction", "Your card was declined").body();
            body["error"]["transaction_error"] = json!({"object": "transaction_error", "code": "declined", "decline_code": "insufficient_funds"});
            return said(422, body, &[]);
        }
        Some(Fault::BareError) => {
            let body = Problem::validation("base", "No").body();
            return said(422, body["error"].clone(), &[]);
        }
        Some(Fault::Redirect) => {
            let to = [("location", "https://example.net/subscriptions")];
            return (StatusCode::FOUND, to, "").into_response();
        }
        _ => {}
    }
    let (status, value, more) = answer(&shared, &method, &uri, &headers, &body, fault);
    if fault == Some(Fault::SilentAfterActing) {
        // Longer than any client waits.
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    said(status, value, &more)
}

type More = Vec<(&'static str, &'static str)>;

fn answer(
    shared: &Arc<Shared>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: &Bytes,
    fault: Option<Fault>,
) -> (u16, Value, More) {
    let mut inner = shared.lock();
    let problem = |status, kind, message: &str| (status, Problem::new(status, kind, message).body(), vec![]);
    let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{KEY}:")));
    if inner.revoked || header(headers, "authorization") != Some(expected.as_str()) {
        return problem(401, "unauthorized", "Your API key is not valid");
    }
    let media = format!("application/vnd.recurly.{VERSION}");
    if !header(headers, "accept").is_some_and(|a| a == media || a == format!("{media}+json")) {
        return problem(406, "invalid_api_version", "That accept header isn't in the format we use");
    }
    let (path, verb) = (uri.path().to_owned(), method.as_str().to_owned());
    let Some(operation) = spec().operation(&verb, &path) else {
        inner.wrong.push(format!("{verb} {path} is no operation of Recurly"));
        return problem(404, "not_found", "There is no such resource");
    };
    let told = |what: Vec<String>, side: &str| {
        what.into_iter().map(|w| format!("{verb} {path}, {side}: {w}")).collect::<Vec<_>>()
    };
    let query: Vec<_> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let asked_body: Option<Value> =
        (!body.is_empty()).then(|| serde_json::from_slice(body).unwrap_or_default());
    let faults = told(spec().request(operation, &query, asked_body.as_ref()), "request");
    inner.wrong.extend(faults);
    let (now, key) = (shared.clock.now(), header(headers, "idempotency-key").unwrap_or_default());
    if key.len() > 255 {
        return problem(400, "bad_request", "The Idempotency-Key is too long");
    }
    // Key, method and path name an answer; what the body says does not.
    let kept = (key.to_owned(), verb.clone(), path.clone());
    let keeps = !key.is_empty() && method != Method::GET;
    if keeps
        && let Some(before) = inner.answered.get(&kept)
        && now.as_second() - before.at < KEPT
    {
        return (before.status, before.value.clone(), vec![("idempotency-prior", "true")]);
    }
    let decoded: Vec<String> = path
        .trim_start_matches('/')
        .split('/')
        .map(|step| {
            // A plus sign is no space in a path.
            let step = format!("x={}", step.replace('+', "%2B"));
            form_urlencoded::parse(step.as_bytes()).next().map(|(_, v)| v.into_owned()).unwrap_or_default()
        })
        .collect();
    let asked = Asked {
        method: &verb,
        path: decoded.iter().map(String::as_str).collect(),
        query: &query,
        body: asked_body.unwrap_or_default(),
        now,
    };
    let (status, mut value) = match api::answer(&mut inner.world, &asked) {
        Ok(answer) => answer,
        Err(problem) => (problem.status, problem.body()),
    };
    let faults =
        if status == 204 { Vec::new() } else { told(spec::answer(operation, status, &value), "answer") };
    inner.wrong.extend(faults);
    if keeps {
        inner.answered.insert(kept, Answered { at: now.as_second(), status, value: value.clone() });
    }
    deliver(shared, &mut inner);
    let mut more = vec![];
    match fault {
        Some(Fault::ForeignNext) => {
            value["has_more"] = json!(true);
            value["next"] = json!(format!("{}{path}?cursor=x", inner.elsewhere));
        }
        Some(Fault::RepeatedCursor) => {
            value["has_more"] = json!(true);
            value["next"] = json!(uri.to_string());
        }
        Some(Fault::OtherVersion) => more.push(("recurly-version", "recurly.v2019-10-10")),
        Some(Fault::Deprecated) => {
            more.extend([
                ("recurly-deprecated", "TRUE"),
                ("recurly-sunset-date", "2027-06-01T00:00:00+00:00"),
            ]);
        }
        _ => {}
    }
    (status, value, more)
}

fn said(status: u16, value: Value, more: &[(&'static str, &'static str)]) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match value {
        Value::Null => status.into_response(),
        value => (status, axum::Json(value)).into_response(),
    };
    let own = [("recurly-version", "recurly.v2021-02-25"), ("x-request-id", "fake-request")];
    for (name, value) in own.iter().chain(more) {
        response.headers_mut().insert(*name, http::HeaderValue::from_static(value));
    }
    response
}

pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Sends what waits, signed.
pub fn deliver(shared: &Arc<Shared>, inner: &mut Inner) {
    let told = inner.world.told.len();
    let first = std::mem::replace(&mut inner.world.sent, told);
    let Some(url) = inner.webhooks.clone() else { return };
    let waiting = inner.world.told.iter().cloned().enumerate().skip(first).collect();
    let shared = shared.clone();
    shell::send("fake-recurly", url, waiting, move |n, body| super::signed(&shared, n, body).into());
}
