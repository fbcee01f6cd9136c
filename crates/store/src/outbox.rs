//! Events ride in the document that caused them and are published from there, at least once: a crash between change
//! and publication loses nothing, and the bus drops what it got twice.

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
use tokio_util::sync::CancellationToken;

use crate::{Result, time};

/// Documents looked at in one go.
const BATCH: i64 = 200;
/// How long a relay sleeps when nobody wakes it: what another, dead process left is found within this time.
const POLL: Duration = Duration::from_secs(1);

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

static WAKE: LazyLock<watch::Sender<u64>> = LazyLock::new(|| watch::Sender::new(0));

/// Tells the relays of this process that something was written.
pub fn wake() {
    WAKE.send_modify(|n| *n = n.wrapping_add(1));
}

/// Publishes what waits in these collections until stopped. Several replicas may run it at once.
pub async fn relay(
    db: Database,
    collections: Vec<&'static str>,
    bus: Bus,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut woken = WAKE.subscribe();
    while !stop.is_cancelled() {
        woken.mark_unchanged();
        let mut moved = 0;
        for name in &collections {
            match publish(&db.collection(name), &bus).await {
                Ok(count) => moved += count,
                Err(e) => {
                    tracing::warn!(collection = name, error = %format!("{e:#}"), "events of {name} wait: {e:#}")
                }
            }
        }
        if moved > 0 {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = woken.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    Ok(())
}

/// Publishes one batch of one collection; how many events.
pub async fn publish(collection: &Collection<Document>, bus: &Bus) -> anyhow::Result<usize> {
    let filter = doc! { "_out": { "$exists": true } };
    let fields = doc! { "company_id": 1, "mode": 1, "_outbox": 1 };
    let typed = collection.clone_with_type::<Waiting>();
    let found = typed.find(filter).sort(doc! { "_out": 1 }).limit(BATCH).projection(fields);
    let waiting: Vec<Waiting> = found.await?.try_collect().await?;
    let events: Vec<Outgoing> = waiting.iter().flat_map(Waiting::events).collect();
    if waiting.is_empty() {
        return Ok(0);
    }
    bus.publish(&events).await?;
    let ids: Vec<_> = waiting.into_iter().map(|w| w.id).collect();
    let sent: Vec<_> = events.iter().map(|e| e.id.as_str()).collect();
    collection
        .update_many(
            doc! { "_id": { "$in": &ids } },
            doc! { "$pull": { "_outbox": { "id": { "$in": sent } } } },
        )
        .await?;
    // Only what is empty now: an event may have come in between.
    let empty = doc! { "_id": { "$in": &ids }, "_outbox": { "$size": 0 } };
    collection.update_many(empty, doc! { "$unset": { "_out": 1, "_outbox": 1 } }).await?;
    metrics::counter!("outbox_published_total").increment(events.len() as u64);
    Ok(events.len())
}

/// How many documents wait, for metrics and tests.
pub async fn waiting(collection: &Collection<Document>) -> Result<u64> {
    let filter = doc! { "_out": { "$exists": true } };
    collection.count_documents(filter).await.map_err(|e| crate::Error::of(e, "record"))
}
