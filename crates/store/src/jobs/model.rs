//! A job and its states: `queued → leased → succeeded | queued (failed, or asked for again) | dead`, and `canceled`.

use std::time::Duration;

use bson::{Document, doc};
use jiff::SignedDuration;
use kit::Timestamp;
use serde::{Deserialize, Serialize};

use super::Order;
use crate::{Index, Record, time};

/// How often a job is tried.
pub(super) const MOST_ATTEMPTS: i32 = 8;
/// How long a worker may be silent before its job is another's.
pub(super) const TERM: SignedDuration = SignedDuration::from_secs(60);

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    Leased,
    Succeeded,
    Dead,
    Canceled,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Leased => "leased",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Canceled => "canceled",
        }
    }

    /// How long an ended job is kept: long enough to ask what happened.
    fn kept(self) -> SignedDuration {
        SignedDuration::from_hours(24 * if self == Self::Dead { 90 } else { 7 })
    }
}

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    pub kind: String,
    pub key: String,
    pub payload: Document,
    pub state: State,
    /// Queued or leased. Absent when it ended: the index of open jobs holds only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    pub priority: i32,
    /// Queued: not before this. Leased: the worker's until this. So one comparison finds what may be taken.
    #[serde(with = "time")]
    pub due_at: Timestamp,
    /// How often it was begun.
    pub attempts: i32,
    /// Rises each time it is taken; only the last taker may end it.
    pub token: i64,
    /// From 0 to 100, as its handler says.
    pub progress: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Asked for again while it ran, with this payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Document>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::option")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::option")]
    pub forget_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Record for Job {
    const COLLECTION: &'static str = "jobs";
    const NOUN: &'static str = "job";

    fn indexes() -> Vec<Index> {
        let open = doc! { "body.open": true };
        vec![
            Index::on(&["body.kind", "body.key"]).unique().partial(open.clone()),
            Index::global(&["body.kind", "company_id", "-body.priority", "body.due_at"]).partial(open),
            Index::on(&["body.kind", "-_id"]),
            Index::global(&["body.forget_at"]).ttl(Duration::ZERO),
        ]
    }
}

impl Job {
    pub(super) fn new(order: &Order, run_at: Timestamp, traceparent: Option<String>) -> Self {
        let Order { kind, key, payload, run_at: _, priority } = order.clone();
        Self {
            kind: kind.to_owned(),
            key,
            payload,
            state: State::Queued,
            open: Some(true),
            priority,
            due_at: run_at,
            attempts: 0,
            token: 0,
            progress: 0,
            last_error: None,
            again: None,
            ended_at: None,
            forget_at: None,
            traceparent,
        }
    }

    /// The change that takes a job.
    pub(super) fn taken(now: Timestamp) -> Document {
        doc! {
            "$set": { "body.state": "leased", "body.due_at": time::to_bson(after(now, TERM)), "body.progress": 0 },
            "$inc": { "body.token": 1_i64, "body.attempts": 1 },
        }
    }

    /// The change that ends a job for good.
    pub(super) fn ended(state: State, error: Option<&str>, now: Timestamp) -> Document {
        let mut set = doc! {
            "body.state": state.as_str(),
            "body.ended_at": time::to_bson(now),
            "body.forget_at": time::to_bson(after(now, state.kept())),
        };
        if let Some(error) = error {
            set.insert("body.last_error", error);
        }
        if state == State::Succeeded {
            set.insert("body.progress", 100);
        }
        doc! { "$set": set, "$unset": { "body.open": 1 } }
    }

    /// The change that queues a failed job again.
    pub(super) fn put_back(&self, id: &str, error: &str, now: Timestamp) -> Document {
        let due = after(now, backoff(id, self.attempts));
        doc! { "$set": { "body.state": "queued", "body.due_at": time::to_bson(due), "body.last_error": error } }
    }

    /// The change that begins a job anew that was asked for again while it ran.
    pub(super) fn begun_anew(payload: &Document, now: Timestamp) -> Document {
        doc! {
            "$set": {
                "body.state": "queued",
                "body.payload": payload,
                "body.due_at": time::to_bson(now),
                "body.attempts": 0,
                "body.progress": 0,
            },
            "$unset": { "body.again": 1 },
        }
    }

    pub(super) fn is_last_attempt(&self) -> bool {
        self.attempts >= MOST_ATTEMPTS
    }
}

/// 1, 2, 4 … seconds up to an hour, each up to half as long again: jobs that failed together do not come back together.
pub(super) fn backoff(id: &str, attempts: i32) -> SignedDuration {
    let exponent = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(12);
    let ms = (1_000_i64 << exponent).min(3_600_000);
    // Spread by the id and the attempt, so that nothing here needs chance.
    let seed = id.bytes().fold(i64::from(attempts), |sum, b| sum.wrapping_mul(31).wrapping_add(i64::from(b)));
    SignedDuration::from_millis(ms + seed.rem_euclid(ms / 2))
}

fn after(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_waits_longer_and_none_longer_than_an_hour_and_a_half() {
        let waits: Vec<_> = (1..=20).map(|n| backoff("job_1", n).as_millis()).collect();
        assert!(waits[0] >= 1_000 && waits[0] < 1_500);
        assert!(waits[..10].windows(2).all(|w| w[0] < w[1]), "{waits:?}");
        assert!(waits.iter().all(|w| *w <= 5_400_000));
        assert_ne!(backoff("job_1", 5), backoff("job_2", 5));
    }
}
