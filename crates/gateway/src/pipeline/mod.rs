//! What every request passes, in this order: request id, size and time limits, content type, authentication, company
//! and mode, access rule, rate limit, idempotency key, call, error shape, access log.

pub mod access;
pub mod address;
pub mod auth;
pub mod cache;
pub mod conditional;
pub mod cookies;
pub mod heard;
pub mod idempotency;
pub mod kept;
pub mod rate;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body as AxumBody;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::{BodyExt, Limited};
use kit::Caller;
use kit::telemetry::{self, Headers};
use prost::Message as _;
use proto::google::api::HttpBody;
use tonic::metadata::MetadataMap;
use tracing::Instrument;

use self::auth::Who;
use crate::Edge;
use crate::edge::bind;
use crate::edge::descriptors::{Body, Operation};
use crate::edge::problem::Problem;

/// The header that names a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs one request of a known path: finds the operation by method, and answers whatever comes of it.
pub async fn dispatch(edge: Arc<Edge>, ops: Arc<[Arc<Operation>]>, request: Request) -> Response {
    let route = ops.first().map(|op| op.template.description()).unwrap_or_default();
    around(route, request, |request, id| async move {
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        match ops.iter().find(|op| op.method == *method) {
            Some(op) => run(&edge, op, request, &id).await,
            None => Err(not_allowed(&ops)),
        }
    })
    .await
}

fn not_allowed(ops: &[Arc<Operation>]) -> Problem {
    let allowed: Vec<_> = ops.iter().map(|op| op.method.as_str()).collect();
    Problem {
        allow: Some(allowed.join(", ")),
        ..Problem::new(405, "method_not_allowed", "this path has no such method")
    }
}

/// Request id, span, error shape, metrics and access log: around every answer of the gateway, special ones too.
pub async fn around<F, Fut>(route: String, request: Request, answer: F) -> Response
where
    F: FnOnce(Request, String) -> Fut,
    Fut: Future<Output = Result<Response, Problem>>,
{
    let begun = Instant::now();
    let (id, method) = (request_id(request.headers()), request.method().clone());
    let span = tracing::info_span!("http", otel.name = %format!("{method} {route}"), otel.kind = "server", request.id = %id,
        http.method = %method, http.route = %route, http.status = tracing::field::Empty);
    telemetry::adopt(&span, &Headers(request.headers()));
    let outcome = answer(request, id.clone()).instrument(span.clone()).await;
    let mut response = outcome.unwrap_or_else(|problem| problem.respond(&id));
    let status = response.status().as_u16();
    span.record("http.status", status);
    let headers = response.headers_mut();
    // Room at once for all that is said on every answer.
    headers.reserve(16);
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(trace) = span.in_scope(telemetry::traceparent).and_then(|t| HeaderValue::from_str(&t).ok()) {
        headers.insert("traceparent", trace);
    }
    let seconds = begun.elapsed().as_secs_f64();
    metrics::histogram!("http_server_request_duration_seconds", "route" => route.clone(), "method" => method.to_string(), "status" => status.to_string())
        .record(seconds);
    let duration_ms = seconds * 1000.0;
    span.in_scope(|| tracing::info!(duration_ms, "{method} {route} {status}"));
    response
}

/// The caller's own id when it has the shape of one, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let fits = |id: &&str| {
        (8..=100).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    given.filter(fits).map_or_else(|| kit::id::new("req"), str::to_owned)
}

async fn run(edge: &Edge, op: &Operation, request: Request, id: &str) -> Result<Response, Problem> {
    let limit = Duration::from_secs(edge.config.request_seconds);
    let work = async {
        let (parts, body) = request.into_parts();
        let body = read(body, op.max_body()).await?;
        content_type(op, &parts.headers, &body)?;
        let who = edge.auth.who(edge, op, &parts).await?;
        let caller = access::caller(op, &who, &parts, id)?;
        if let (Who::Widget(session), Some(origin)) = (&who, cookies::origin(&parts))
            && !cookies::is_ours(edge, &parts, origin)
            && !edge.auth.embeds(edge, origin, Some(&session.company)).await
        {
            return Err(cookies::foreign());
        }
        edge.rates.admit(op.rate(), &caller, &parts)?;
        forward(edge, op, &who, &caller, &parts, &body).await
    };
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Problem::new(504, "deadline_exceeded", "this took too long")))
}

/// What a request of somebody who may is answered: what is kept, or what the service says.
pub async fn forward(
    edge: &Edge,
    op: &Operation,
    who: &Who,
    caller: &Caller,
    parts: &Parts,
    body: &Bytes,
) -> Result<Response, Problem> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let shared = edge.shared.key(op, caller, target);
    if let Some(kept) = shared.as_ref().and_then(|key| edge.shared.get(key)) {
        return Ok(conditional::settle(parts, kept));
    }
    let browser = cookies::browser(edge, op, parts)?;
    let mut message = bind::request(op, parts.uri.path(), parts.uri.query(), body)?;
    if let Some(browser) = &browser {
        browser.fill(&mut message);
    }
    let matched = conditional::expect(op, &parts.headers, &mut message)?;
    validate(op, &message)?;
    access::check_subject(op, who, &message)?;
    let encoded = Bytes::from(message.encode_to_vec());
    let key = idempotency::key(op, &parts.headers)?;
    // Boxed, as what is large and passed on is copied each time.
    let call = Box::pin(async {
        let answered = call(edge, op, caller, encoded, shared, browser.is_some()).await;
        answered.map_err(|problem| conditional::stale(problem, matched))
    });
    match key {
        Some(key) => Box::pin(edge.idempotency.once(op, caller, &key, body, parts, call)).await,
        None => call.await.map(|response| conditional::settle(parts, response)),
    }
}

/// Reads the whole body, up to a size.
pub async fn read(body: AxumBody, most: usize) -> Result<Bytes, Problem> {
    let too_large = |e: Box<dyn std::error::Error + Send + Sync>| {
        if e.is::<http_body_util::LengthLimitError>() {
            Problem::new(413, "too_large", format!("the body is larger than {} KiB", most / 1024))
        } else {
            Problem::bad_request("incomplete_body", "the body did not arrive whole")
        }
    };
    Ok(Limited::new(body, most).collect().await.map_err(too_large)?.to_bytes())
}

fn content_type(op: &Operation, headers: &HeaderMap, body: &Bytes) -> Result<(), Problem> {
    if matches!(op.body, Body::None) || body.is_empty() {
        return Ok(());
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(415, "unsupported_media_type", "send the body as application/json"))
}

fn validate(op: &Operation, message: &prost_reflect::DynamicMessage) -> Result<(), Problem> {
    let wrong = proto::check::violations(message).map_err(|cause| {
        tracing::error!(rpc = op.rpc.full_name(), error = %cause, "the rules of {} cannot be applied: {cause}", op.rpc.full_name());
        Problem::new(500, "internal", "something failed on our side")
    })?;
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Problem::fields(
        wrong.into_iter().map(|(field, code, text)| kit::FieldError::new(field, code, text)).collect(),
    ))
}

async fn call(
    edge: &Edge,
    op: &Operation,
    caller: &Caller,
    message: Bytes,
    shared: Option<cache::Key>,
    browser: bool,
) -> Result<Response, Problem> {
    let limit = Duration::from_secs(edge.config.request_seconds);
    let called = edge.upstreams.call(&op.service, &op.grpc, caller, limit, message).await;
    // Whoever changed something sees it at once; the others, when the event passes.
    edge.shared.asked(op, caller);
    let (bytes, meta) = called?;
    if op.replies_raw() {
        let body = HttpBody::decode(bytes).map_err(|_| damaged(op))?;
        return Ok(raw(body, &meta));
    }
    let (bytes, cookies) = if browser { cookies::settle(edge, op, bytes) } else { (bytes, Vec::new()) };
    let json: Bytes = edge.plans.json(op.output.full_name(), &bytes).map_err(|_| damaged(op))?.into();
    let answer = cache::Answer { version: conditional::version(op, &bytes), json };
    edge.shared.keep(shared, &meta, &answer);
    let mut response = cache::respond(answer);
    carry(&meta, response.headers_mut());
    for cookie in cookies {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

fn damaged(op: &Operation) -> Problem {
    tracing::error!(rpc = op.rpc.full_name(), "the reply of {} cannot be read", op.rpc.full_name());
    Problem::new(500, "internal", "something failed on our side")
}

/// Bytes with a content type of their own; status and some headers come as metadata.
fn raw(body: HttpBody, meta: &MetadataMap) -> Response {
    let mut response = Response::new(AxumBody::from(body.data));
    if let Ok(kind) = HeaderValue::from_str(&body.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    if let Some(code) = meta.get("x-http-code").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()) {
        *response.status_mut() = code;
    }
    carry(meta, response.headers_mut());
    response
}

/// The headers a service may set.
fn carry(meta: &MetadataMap, headers: &mut HeaderMap) {
    for name in [
        "location",
        "content-disposition",
        "content-security-policy",
        "cache-control",
        "etag",
        "sunset",
        "deprecation",
    ] {
        if let Some(value) = meta.get(name).and_then(|v| HeaderValue::from_bytes(v.as_bytes()).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

/// Where a request came from.
pub fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<axum::extract::ConnectInfo<std::net::SocketAddr>>().map(|c| c.0.ip())
}
