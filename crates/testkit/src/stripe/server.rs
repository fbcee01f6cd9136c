//! The fake on the wire: keys, versions, idempotency, faults, and the sending of events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kit::clock::Clock;
use serde_json::{Value, json};

use super::api::{self, Asked, Problem};
use super::{Fault, Inner, KEY, Seen, Shared, VERSION, WEBHOOK_SECRET, form};
use crate::shell;

pub async fn handle(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .chain(form_urlencoded::parse(&body))
        .map(|(name, value)| (name.into_owned(), value.into_owned()));
    let params = form::nest(pairs);
    let fault = {
        shared.lock().asked(Seen {
            method: method.to_string(),
            path: uri.path().to_owned(),
            params: params.clone(),
            idempotency_key: header(&headers, "idempotency-key").map(str::to_owned),
        })
    };
    let problem = |status, kind, code, message: &str| {
        said(status, Problem { status, kind, code, message: message.into(), param: None }.body(), false)
    };
    match fault {
        Some(Fault::TooMany) => {
            return problem(429, "invalid_request_error", Some("rate_limit"), "Too many requests");
        }
        Some(Fault::Conflict) => {
            return problem(409, "invalid_request_error", None, "Another request with this key is under way");
        }
        Some(Fault::BrokenHtml) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "<html><h1>503</h1></html>").into_response();
        }
        Some(Fault::Gibberish) => return "{\"id\": ".into_response(),
        Some(Fault::Forbidden) => {
            return problem(403, "invalid_request_error", None, "The key lacks rak_subscription_write");
        }
        _ => {}
    }
    let (status, value, replayed) = answer(&shared, &method, &uri, &headers, params, fault);
    if fault == Some(Fault::SilentAfterActing) {
        // Longer than any client waits.
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    said(status, value, replayed)
}

fn answer(
    shared: &Arc<Shared>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    params: Value,
    fault: Option<Fault>,
) -> (u16, Value, bool) {
    let mut inner = shared.lock();
    let invalid = |status, message: &str| {
        let problem = Problem { status, ..Problem::invalid("", message, "") };
        (status, problem.body(), false)
    };
    if inner.revoked || header(headers, "authorization") != Some(&format!("Bearer {KEY}")) {
        return invalid(401, "Invalid API Key provided");
    }
    if header(headers, "stripe-version") != Some(VERSION) {
        return invalid(400, "This fake speaks one version, and it must be named in every request");
    }
    let Some(path) = uri.path().strip_prefix("/v1/") else { return invalid(404, "Unrecognized request URL") };
    // What is repeated under a key answers what it answered first, failures included.
    let key = header(headers, "idempotency-key").filter(|_| method == Method::POST).map(str::to_owned);
    let print = format!("{} {params}", uri.path());
    if let Some((before, status, value)) = key.as_ref().and_then(|k| inner.answered.get(k)) {
        if *before == print {
            return (*status, value.clone(), true);
        }
        let message = "Keys for idempotent requests can only be used with the same parameters they were first used with.";
        let kind = "idempotency_error";
        return (400, Problem { kind, ..Problem::invalid("", message, "") }.body(), false);
    }
    let (status, value) = match fault {
        Some(Fault::Broken) => (500, json!({"error": {"type": "api_error", "message": "Sorry"}})),
        Some(Fault::CardDeclined) => (
            402,
            json!({"error": {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "Your card was declined."}}),
        ),
        _ => {
            let path = path.split('/').collect();
            let asked = Asked { method: method.as_str(), path, params, now: shared.clock.now() };
            match api::answer(&mut inner.world, &asked) {
                Ok(value) => (200, value),
                Err(problem) => (problem.status, problem.body()),
            }
        }
    };
    // What fails its validation is not stored.
    if let Some(key) = key
        && status != 400
        && status != 404
    {
        inner.answered.insert(key, (print, status, value.clone()));
    }
    deliver(shared, &mut inner);
    (status, value, false)
}

fn said(status: u16, value: Value, replayed: bool) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(value)).into_response();
    let mut add = |name, value| response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    add("request-id", "req_Fake");
    add("stripe-version", VERSION);
    if replayed {
        add("idempotent-replayed", "true");
    }
    response
}

pub fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Sends what waits, signed.
pub fn deliver(shared: &Arc<Shared>, inner: &mut Inner) {
    let events = std::mem::take(&mut inner.world.outbox);
    let Some(url) = inner.webhooks.clone() else { return };
    let clock = shared.clock.clone();
    shell::send("fake-stripe", url, events.into_iter().enumerate().collect(), move |_, body| {
        vec![("stripe-signature", connect::sign::sign_stripe(&WEBHOOK_SECRET.into(), clock.now(), body))]
    });
}
