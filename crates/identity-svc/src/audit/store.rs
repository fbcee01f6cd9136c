//! The queries of the audit trail.

use bson::Document;
use kit::{Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Entry, Search};

impl Record for Entry {
    const COLLECTION: &'static str = "audit_entries";
    const NOUN: &'static str = "audit entry";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.actor_id", "-_id"]),
            Index::on(&["body.resource", "body.resource_id", "-_id"]),
            Index::on(&["body.action", "-_id"]),
            Index::on(&["body.occurred_at"]),
        ]
    }
}

#[derive(Clone)]
pub struct AuditStore {
    entries: Repo<Entry>,
}

impl AuditStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { entries: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Entry>, store::Error> {
        self.entries.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        search: &Search,
        page: &PageRequest,
    ) -> Result<Page<Stored<Entry>>, store::Error> {
        let mut filter = Document::new();
        let texts = [
            ("body.actor_id", &search.actor_id),
            ("body.resource", &search.resource),
            ("body.resource_id", &search.resource_id),
            ("body.action", &search.action),
        ];
        for (field, text) in texts.into_iter().filter(|(_, t)| !t.is_empty()) {
            filter.insert(field, text);
        }
        let mut time = Document::new();
        if let Some(from) = search.from {
            time.insert("$gte", store::time::to_bson(from));
        }
        if let Some(to) = search.to {
            time.insert("$lt", store::time::to_bson(to));
        }
        if !time.is_empty() {
            filter.insert("body.occurred_at", time);
        }
        self.entries.list(scope, filter, Sort::Newest, page).await
    }

    /// Adds entries; one that is there already stays as it is.
    pub async fn add(
        &self,
        entries: Vec<(Scope, String, Entry)>,
    ) -> Result<Vec<Result<(), store::Error>>, store::Error> {
        let records = entries.into_iter().map(|(s, id, e)| (s, id, e, Vec::new())).collect();
        self.entries.insert_across(records).await
    }
}
