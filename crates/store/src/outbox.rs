//! Events ride in the document that caused them and are published from there, at least once: a crash between change
//! and publication loses nothing, and the bus drops what it got twice.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, Document, doc};
use bus::Bus;
use futures_util::TryStreamExt;
use kit::Outgoing;
use kit::caller::{Mode, Scope};
use mongodb::{Collection, Database};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Result, time};

/// Documents looked at in one go.
const BATCH: i64 = 200;
/// How often a relay looks everywhere: what another, dead process left, or what could not be sent, goes out then.
const SWEEP: Duration = Duration::from_secs(2);

/// An event inside a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    id: String,
    kind: String,
    subject: String,
    at: DateTime,
    body: Binary,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

impl From<Outgoing> for Entry {
    fn from(event: Outgoing) -> Self {
        // The scope is the document's.
        let Outgoing { id, kind, subject, scope: _, occurred_at, body, traceparent } = event;
        let body = Binary { subtype: BinarySubtype::Generic, bytes: body.into() };
        Self { id, kind, subject, at: time::to_bson(occurred_at), body, traceparent }
    }
}

/// What the relay reads of any document.
#[derive(Deserialize)]
struct Waiting {
    #[serde(rename = "_id")]
    id: bson::Bson,
    company_id: String,
    mode: Mode,
    #[serde(rename = "_outbox", default)]
    outbox: Vec<Entry>,
}

impl Waiting {
    fn events(&self) -> impl Iterator<Item = Outgoing> {
        let scope = Scope::new(self.company_id.clone(), self.mode);
        self.outbox.iter().map(move |entry| Outgoing {
            id: entry.id.clone(),
            kind: entry.kind.clone(),
            subject: entry.subject.clone(),
            scope: scope.clone(),
            occurred_at: time::from_bson(entry.at),
            body: entry.body.bytes.clone().into(),
            traceparent: entry.traceparent.clone(),
        })
    }
}

/// How often something with events was written by this process, by collection.
static WRITTEN: LazyLock<watch::Sender<HashMap<&'static str, u64>>> = LazyLock::new(watch::Sender::default);

/// Tells the relays of this process that events wait in a collection.
pub fn wake(collection: &'static str) {
    WRITTEN.send_modify(|written| *written.entry(collection).or_default() += 1);
}

/// Publishes what waits in these collections until stopped. Several replicas may run it at once.
///
/// It looks where this process has just written, and everywhere once in a while: a find in every collection after every
/// write cost more than the write.
pub async fn relay(
    db: Database,
    collections: Vec<&'static str>,
    bus: Bus,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut written = WRITTEN.subscribe();
    let mut seen = HashMap::new();
    let mut sweep = Instant::now();
    while !stop.is_cancelled() {
        let now = written.borrow_and_update().clone();
        let everywhere = sweep <= Instant::now();
        let mut more = false;
        for name in collections.iter().filter(|n| everywhere || now.get(*n) != seen.get(*n)) {
            match publish(&db.collection(name), &bus).await {
                Ok(full) => more |= full,
                Err(e) => {
                    tracing::warn!(collection = name, error = %format!("{e:#}"), "events of {name} wait: {e:#}")
                }
            }
        }
        if everywhere && !more {
            sweep = Instant::now() + SWEEP;
        }
        if more {
            continue;
        }
        seen = now;
        tokio::select! {
            () = stop.cancelled() => {}
            _ = written.changed() => {}
            () = tokio::time::sleep_until(sweep) => {}
        }
    }
    Ok(())
}

/// Publishes one batch of one collection; whether more may wait.
pub async fn publish(collection: &Collection<Document>, bus: &Bus) -> anyhow::Result<bool> {
    let filter = doc! { "_out": { "$exists": true } };
    let fields = doc! { "company_id": 1, "mode": 1, "_outbox": 1 };
    let typed = collection.clone_with_type::<Waiting>();
    let found = typed.find(filter).sort(doc! { "_out": 1 }).limit(BATCH).projection(fields);
    let waiting: Vec<Waiting> = found.await?.try_collect().await?;
    let events: Vec<Outgoing> = waiting.iter().flat_map(Waiting::events).collect();
    if waiting.is_empty() {
        return Ok(false);
    }
    bus.publish(&events).await?;
    let full = i64::try_from(waiting.len()).is_ok_and(|n| n == BATCH);
    let ids: Vec<_> = waiting.into_iter().map(|w| w.id).collect();
    let sent: Vec<_> = events.iter().map(|e| e.id.as_str()).collect();
    // The mark goes only when nothing is left: an event may have come in between.
    let left = doc! { "$filter": {
        "input": { "$ifNull": ["$_outbox", []] }, "as": "e", "cond": { "$not": { "$in": ["$$e.id", sent] } },
    } };
    let unless_empty = |field: &str| doc! { "$cond": [{ "$eq": ["$_outbox", []] }, "$$REMOVE", field] };
    let taken = vec![
        doc! { "$set": { "_outbox": left } },
        doc! { "$set": { "_out": unless_empty("$_out"), "_outbox": unless_empty("$_outbox") } },
    ];
    collection.update_many(doc! { "_id": { "$in": ids } }, taken).await?;
    metrics::counter!("outbox_published_total").increment(events.len() as u64);
    Ok(full)
}

/// How many documents wait, for metrics and tests.
pub async fn waiting(collection: &Collection<Document>) -> Result<u64> {
    let filter = doc! { "_out": { "$exists": true } };
    collection.count_documents(filter).await.map_err(|e| crate::Error::of(e, "record"))
}
