//! The queries of timelines.

use std::time::Duration;

use bson::doc;
use kit::{Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Entry, Kind};

impl Record for Entry {
    const COLLECTION: &'static str = "timeline";
    const NOUN: &'static str = "timeline entry";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.customer_id", "-_id"]),
            Index::on(&["body.customer_id", "body.kind", "-_id"]),
            Index::global(&["body.forget_at"]).ttl(Duration::ZERO),
        ]
    }
}

/// Entries of one insert.
const CHUNK: usize = 1_000;

#[derive(Clone)]
pub struct EntryStore {
    repo: Repo<Entry>,
}

impl EntryStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    /// Entries of these customers, newest first: their ids sort by when they happened.
    pub async fn of(
        &self,
        scope: &Scope,
        customers: &[String],
        kinds: &[Kind],
        page: &PageRequest,
    ) -> Result<Page<Stored<Entry>>, store::Error> {
        let mut query = doc! { "body.customer_id": { "$in": customers } };
        if !kinds.is_empty() {
            let kinds: Vec<_> = kinds.iter().map(|k| k.as_str()).collect();
            query.insert("body.kind", doc! { "$in": kinds });
        }
        self.repo.list(scope, query, Sort::Newest, page).await
    }

    /// Adds entries; those that are there stay.
    pub async fn keep(&self, scope: &Scope, entries: Vec<(String, Entry)>) -> Result<(), store::Error> {
        for chunk in entries.chunks(CHUNK) {
            let records = chunk.iter().cloned().map(|(id, entry)| (id, entry, Vec::new())).collect();
            for outcome in self.repo.insert_many(scope, records).await? {
                match outcome {
                    Ok(()) | Err(store::Error::Duplicate(_)) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(())
    }

    pub async fn forget(&self, scope: &Scope, customer: &str) -> Result<(), store::Error> {
        self.repo.remove_many(scope, doc! { "body.customer_id": customer }).await.map(|_| ())
    }
}
