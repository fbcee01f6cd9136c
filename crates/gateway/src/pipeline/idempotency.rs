//! A creating request, once: its answer is kept for 24 hours under the caller's key, so that a repetition gets the
//! answer and does nothing. The gateway's only data.

use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use axum::body::Body;
use axum::response::Response;
use bson::doc;
use bus::{Handler, Incoming, Outcome};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use kit::caller::Scope;
use kit::{Caller, SharedClock};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo, Stored};

use crate::edge::descriptors::Operation;
use crate::edge::problem::Problem;

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How long an answer is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// A request still under way after this long has died with its process.
const LOST: SignedDuration = SignedDuration::from_secs(90);
/// How long a repetition waits for the first to end.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer larger than this is not kept: creating answers are small.
const LARGEST: usize = 1024 * 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// Caller, rpc and key: what must be the same.
    key: String,
    /// Path, query and body: what must be the same, too, or the key was used for something else.
    request: String,
    #[serde(with = "store::time")]
    begun_at: Timestamp,
    #[serde(with = "store::time")]
    expires_at: Timestamp,
    #[serde(default)]
    answer: Option<Answer>,
    /// The customers whose ids stand in the answer: it is not kept longer than they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    about: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    status: u16,
    content_type: String,
    body: bson::Binary,
    #[serde(default)]
    etag: Option<String>,
}

impl Record for Kept {
    const COLLECTION: &'static str = "idempotency";
    const NOUN: &'static str = "idempotency key";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.key"]).unique(),
            Index::on(&["body.about"]).partial(doc! { "body.about": { "$exists": true } }),
            Index::global(&["body.expires_at"]).ttl(Duration::ZERO),
        ]
    }
}

/// The answers kept.
pub struct Idempotency {
    repo: Repo<Kept>,
    clock: SharedClock,
}

/// The key of a request, where the operation takes one.
pub fn key(op: &Operation, headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER).filter(|_| op.rule.idempotency_key) else { return Ok(None) };
    let text = value.to_str().ok().filter(|t| (1..=200).contains(&t.len()));
    text.map(|t| Some(t.to_owned())).ok_or_else(|| {
        Problem::bad_request("invalid_idempotency_key", "Idempotency-Key has 1 to 200 visible characters")
    })
}

impl Idempotency {
    pub async fn open(db: &Database, clock: SharedClock) -> store::Result<Self> {
        Ok(Self { repo: Repo::open(db, clock.clone()).await?, clock })
    }

    /// Makes the call, or gives the answer it had.
    pub async fn once<F>(
        &self,
        op: &Operation,
        caller: &Caller,
        key: &str,
        body: &Bytes,
        parts: &Parts,
        call: F,
    ) -> Result<Response, Problem>
    where
        F: Future<Output = Result<Response, Problem>>,
    {
        let scope = caller.scope.clone().unwrap_or_else(Scope::platform);
        let whose = format!("{}:{}:{}:{key}", caller.actor.kind, caller.actor.id, op.grpc);
        let request = fingerprint(parts, body);
        let begun = self.clock.now();
        let fresh = Kept {
            key: hash(whose.as_bytes()),
            request: request.clone(),
            begun_at: begun,
            expires_at: begun + KEPT,
            answer: None,
            about: Vec::new(),
        };
        let mine = match self.repo.insert(&scope, kit::id::new("idm"), fresh.clone(), Vec::new()).await {
            Ok(mine) => mine,
            Err(store::Error::Duplicate(_)) => match self.earlier(&scope, &fresh).await? {
                Earlier::Answer(answer) => return Ok(replay(answer, &caller.request_id)),
                Earlier::Taken(mine) => mine,
            },
            Err(e) => return Err(kit::error::status(&e).into()),
        };
        self.keep(&scope, mine, call.await, &caller.request_id).await
    }

    /// The first request's answer, once it has one; or its place, when it died without.
    async fn earlier(&self, scope: &Scope, fresh: &Kept) -> Result<Earlier, Problem> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self
                .repo
                .find(scope, doc! { "body.key": &fresh.key })
                .await
                .map_err(|e| Problem::from(kit::error::status(&e)))?;
            let Some(found) = found else {
                // Failed and gone between the two looks: this one may try.
                let again = self.repo.insert(scope, kit::id::new("idm"), fresh.clone(), Vec::new()).await;
                return again.map(Earlier::Taken).map_err(|_| in_progress());
            };
            // Over, or dead with its process: the key is this one's. MongoDB clears what is over within a minute or so.
            let now = self.clock.now();
            if found.body.expires_at <= now
                || (found.body.answer.is_none() && found.body.begun_at + LOST < now)
            {
                let taken = self.repo.replace(&found, fresh.clone(), Vec::new()).await;
                return taken.map(Earlier::Taken).map_err(|_| in_progress());
            }
            if found.body.request != fresh.request {
                let text = "this Idempotency-Key was used for another request";
                return Err(Problem::new(409, "idempotency_key_reused", text));
            }
            if let Some(answer) = found.body.answer {
                return Ok(Earlier::Answer(answer));
            }
            if tokio::time::Instant::now() > end {
                return Err(in_progress());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Keeps what was answered, refusals too. What failed on our side or may go well in a while is forgotten, so that the
    /// next try is a real one.
    async fn keep(
        &self,
        scope: &Scope,
        mine: Stored<Kept>,
        outcome: Result<Response, Problem>,
        request_id: &str,
    ) -> Result<Response, Problem> {
        let response = match outcome {
            Ok(response) => response,
            Err(problem) if is_final(&problem) => problem.respond(request_id),
            Err(problem) => {
                self.repo.remove(scope, &mine.id).await.ok();
                return Err(problem);
            }
        };
        let (head, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .map_err(|_| Problem::new(500, "internal", "something failed on our side"))?
            .to_bytes();
        if bytes.len() <= LARGEST {
            let text = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
            let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
            let etag = text(header::ETAG);
            let about = customers_in(&bytes);
            let body = bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: bytes.to_vec() };
            let answer = Answer { status: head.status.as_u16(), content_type, body, etag };
            let kept = Kept { answer: Some(answer), about, ..mine.body.clone() };
            if let Err(e) = self.repo.replace(&mine, kept, Vec::new()).await {
                tracing::warn!(error = %e, "an idempotent answer was not kept: {e}");
            }
        }
        Ok(Response::from_parts(head, Body::from(bytes)))
    }
}

#[async_trait]
impl Handler for Idempotency {
    /// Somebody was erased: answers that speak of them are not given again.
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            let done = match incoming.kind.as_str() {
                "customer.erased" => self.forget(&incoming.scope, &incoming.subject).await,
                _ => Ok(()),
            };
            outcomes.push(done.map_or_else(|e| Outcome::Retry(e.to_string()), |()| Outcome::Done));
        }
        outcomes
    }
}

impl Idempotency {
    async fn forget(&self, scope: &Scope, customer: &str) -> store::Result<()> {
        let problem = Problem::new(410, "customer_erased", "the customer this was about was erased");
        let body = problem.respond("").into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let answer = Answer {
            status: problem.status,
            content_type: "application/problem+json".into(),
            body: bson::Binary { subtype: bson::spec::BinarySubtype::Generic, bytes: body.to_vec() },
            etag: None,
        };
        let answer = store::transaction::bson(&answer)?;
        let about = doc! { "body.about": { "$eq": customer, "$exists": true } };
        self.repo.update_many(scope, about, doc! { "$set": { "body.answer": answer } }).await.map(drop)
    }
}

/// The ids of customers in an answer.
fn customers_in(body: &[u8]) -> Vec<String> {
    fn look(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::String(text) if kit::id::is("cus", text) => found.push(text.clone()),
            serde_json::Value::Array(all) => all.iter().for_each(|v| look(v, found)),
            serde_json::Value::Object(fields) => fields.values().for_each(|v| look(v, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_slice(body) {
        look(&value, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

enum Earlier {
    Answer(Answer),
    Taken(Stored<Kept>),
}

fn in_progress() -> Problem {
    Problem {
        retry_after: Some(Duration::from_secs(1)),
        ..Problem::new(409, "request_in_progress", "the first request with this key is still under way")
    }
}

/// A refusal that the same request gets again: not one about who calls and how often, and not one to come back after.
fn is_final(problem: &Problem) -> bool {
    matches!(problem.status, 400 | 404 | 409 | 410 | 412 | 422) && problem.retry_after.is_none()
}

fn replay(answer: Answer, request_id: &str) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut bytes = answer.body.bytes;
    // A problem names the request it answers.
    if !status.is_success()
        && let Ok(mut problem) = serde_json::from_slice::<serde_json::Value>(&bytes)
        && problem.get("request_id").is_some()
    {
        problem["request_id"] = request_id.into();
        bytes = problem.to_string().into_bytes();
    }
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    if let Some(Ok(tag)) = answer.etag.map(|tag| HeaderValue::from_str(&tag)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    if let Ok(kind) = HeaderValue::from_str(&answer.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn fingerprint(parts: &Parts, body: &Bytes) -> String {
    let path = parts.uri.path_and_query().map_or("", |p| p.as_str());
    let expected = parts.headers.get(header::IF_MATCH).map_or(&b""[..], |tag| tag.as_bytes());
    hash(&[path.as_bytes(), b"\n", expected, b"\n", body].concat())
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes))
}
