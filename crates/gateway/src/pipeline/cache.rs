//! Answers that are the same for everybody of a company, such as published content. The service that gave one says so
//! and of which family of events its changes are; until such a change, the door answers by itself.
//!
//! A change bumps a generation, which is part of every key: an answer that was under way meanwhile is kept under the old
//! one and never found. A request bumps the one of its own room (its gRPC service), so that the steps of flows leave
//! cards and templates alone; an event bumps that of the whole company. A change nobody heard of costs no more than two seconds.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use kit::caller::Scope;
use kit::{Caller, Role};
use moka::sync::Cache;
use tonic::metadata::MetadataMap;

use crate::edge::descriptors::Operation;

/// The one family of events so far: what is published, rolled back or archived.
pub const FAMILY: &str = "content";
/// How long an answer serves at most.
const LIFE: Duration = Duration::from_secs(2);
/// How many bytes are kept.
const ROOM: u64 = 32 * 1024 * 1024;

/// An answer as it is kept: its JSON, and the version it shows.
#[derive(Clone, Debug)]
pub struct Answer {
    pub json: Bytes,
    pub version: Option<i64>,
}

/// What an answer is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    scope: Scope,
    /// Of the company, and of the room.
    generations: (u64, u64),
    /// Path and query.
    target: String,
}

/// The answers kept.
pub struct Shared {
    answers: Cache<Key, Answer>,
    /// By company and room; the empty room is the whole company.
    generations: Cache<(Scope, String), u64>,
}

impl Default for Shared {
    fn default() -> Self {
        let weigh = |key: &Key, answer: &Answer| {
            u32::try_from(key.target.len() + answer.json.len() + 200).unwrap_or(u32::MAX)
        };
        Self {
            answers: Cache::builder().max_capacity(ROOM).weigher(weigh).time_to_live(LIFE).build(),
            // Longer than any answer lives: a generation that is forgotten begins anew when none of its answers is left.
            generations: Cache::builder().max_capacity(100_000).time_to_idle(LIFE * 30).build(),
        }
    }
}

impl Shared {
    /// Where the answer to this request would be kept; none where it never is.
    pub fn key(&self, op: &Operation, caller: &Caller, target: &str) -> Option<Key> {
        // A flow session may see less than the people of its company.
        if op.method != Method::GET || op.service != FAMILY || caller.role == Role::Widget {
            return None;
        }
        let scope = caller.scope.clone()?;
        let of = |room: &str| self.generations.get(&(scope.clone(), room.to_owned())).unwrap_or_default();
        let generations = (of(""), of(room(op)));
        Some(Key { scope, generations, target: target.to_owned() })
    }

    pub fn get(&self, key: &Key) -> Option<Response> {
        self.answers.get(key).map(respond)
    }

    /// Keeps an answer where its service says that it may be.
    pub fn keep(&self, key: Option<Key>, meta: &MetadataMap, answer: &Answer) {
        if let Some(key) = key
            && meta.get(kit::client::SHARED).is_some_and(|family| family.as_bytes() == FAMILY.as_bytes())
        {
            self.answers.insert(key, answer.clone());
        }
    }

    /// A request changed something, or tried to: it may have been done before it failed.
    pub fn asked(&self, op: &Operation, caller: &Caller) {
        if op.method != Method::GET
            && op.service == FAMILY
            && let Some(scope) = &caller.scope
        {
            self.bump(scope, room(op));
        }
    }

    /// Something of this company changed.
    pub fn forget(&self, scope: &Scope) {
        self.bump(scope, "");
    }

    fn bump(&self, scope: &Scope, room: &str) {
        let entry = self.generations.entry((scope.clone(), room.to_owned()));
        entry.and_upsert_with(|old| old.map_or(1, |g| g.into_value() + 1));
    }
}

/// The gRPC service of an operation, as its path begins.
fn room(op: &Operation) -> &str {
    op.grpc.path().rsplit_once('/').map_or("", |(room, _)| room)
}

/// An answer in JSON, with its tag.
pub fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.json));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    super::conditional::tag(answer.version, headers);
    response
}
