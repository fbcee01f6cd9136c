//! The fake on the wire: credentials, idempotency, faults, and the sending of events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::clock::Clock;
use serde_json::{Value, json};

use super::api::{self, Problem};
use super::params::Params;
use super::{Fault, Inner, KEY, Seen, Shared, caller};
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
    let params = Params::new(pairs.collect());
    let fault = {
        shared.lock().asked(Seen {
            method: method.to_string(),
            path: uri.path().to_owned(),
            params: params.pairs().to_vec(),
            idempotency_key: header(&headers, "chargebee-idempotency-key").map(str::to_owned),
            authorization: header(&headers, "authorization").map(str::to_owned),
            content_type: header(&headers, "content-type").map(str::to_owned),
        })
    };
    let problem = |status, kind, code, message: &str| {
        said(status, Problem { status, kind, code, message: message.into(), param: None }.body(), false)
    };
    match fault {
        Some(Fault::TooMany(wait)) => {
            let mut busy =
                problem(429, "operation_failed", "api_request_limit_exceeded", "Too many requests");
            busy.headers_mut().insert("retry-after", http::HeaderValue::from(wait));
            return busy;
        }
        Some(Fault::Broken) => return problem(500, "operation_failed", "internal_error", "Sorry"),
        Some(Fault::BrokenHtml) => {
            return (StatusCode::SERVICE_UNAVAILABLE, "<html><h1>503</h1></html>").into_response();
        }
        Some(Fault::PaymentFailed) => {
            return problem(402, "payment", "payment_processing_failed", "The card was declined");
        }
        Some(Fault::Forbidden) => {
            return problem(403, "", "api_authorization_failed", "The key is read-only");
        }
        Some(Fault::Gibberish) => return "{\"list\": ".into_response(),
        Some(Fault::Redirect) => {
            let elsewhere = [("location", "https://elsewhere.example/api/v2/subscriptions")];
            return (StatusCode::FOUND, elsewhere).into_response();
        }
        Some(Fault::ForeignNext) => {
            return said(200, json!({"list": [], "next_offset": "https://elsewhere.example/next"}), false);
        }
        Some(Fault::RepeatedCursor) => {
            let again = params.text("offset").unwrap_or("[\"again\",0]").to_owned();
            return said(200, json!({"list": [], "next_offset": again}), false);
        }
        _ => {}
    }
    let (status, value, replayed) = answer(&shared, &method, &uri, &headers, &params);
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
    params: &Params,
) -> (u16, Value, bool) {
    let mut inner = shared.lock();
    // The key is the user, and the password is empty.
    let expected = format!("Basic {}", STANDARD.encode(format!("{KEY}:")));
    if inner.revoked || header(headers, "authorization") != Some(&expected) {
        let message = "Sorry, authentication failed. Invalid api key".to_owned();
        let problem =
            Problem { status: 401, kind: "", code: "api_authentication_failed", message, param: None };
        return (401, problem.body(), false);
    }
    let Some(path) = uri.path().strip_prefix("/api/v2/") else {
        return (404, Problem::missing(uri.path()).body(), false);
    };
    // A repeated key gets the first answer. Assumed: whether the parameters are the same is not looked at, failures are
    // not kept, and reads have no keys.
    let key =
        header(headers, "chargebee-idempotency-key").filter(|_| method == Method::POST).map(str::to_owned);
    if let Some(before) = key.as_ref().and_then(|k| inner.answered.get(k)) {
        return (200, before.clone(), true);
    }
    let now = shared.clock.now();
    inner.world.settle(now);
    let steps: Vec<&str> = path.split('/').collect();
    let (status, value) = match api::answer(&mut inner.world, method.as_str(), &steps, params, now) {
        Ok(value) => (200, value),
        Err(problem) => (problem.status, problem.body()),
    };
    if let Some(key) = key
        && status == 200
        && !inner.forgetful
    {
        inner.answered.insert(key, value.clone());
    }
    deliver(&mut inner);
    (status, value, false)
}

fn said(status: u16, value: Value, replayed: bool) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(value)).into_response();
    if replayed {
        let yes = http::HeaderValue::from_static("true");
        response.headers_mut().insert("chargebee-idempotency-replayed", yes);
    }
    response
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// Sends what waits, with the credentials.
pub fn deliver(inner: &mut Inner) {
    let events = std::mem::take(&mut inner.world.outbox);
    let Some(url) = inner.webhooks.clone() else { return };
    shell::send("fake-chargebee", url, events.into_iter().enumerate().collect(), |_, _| {
        vec![("authorization", caller())]
    });
}
