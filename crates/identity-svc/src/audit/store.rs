//! The queries of the audit trail.

use std::collections::HashSet;

use bson::{Document, doc};
use kit::{Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::chain::{Head, linked};
use super::model::{Entry, Search};

/// How often a batch that lost a race for its place tries again.
const TRIES: usize = 20;

impl Record for Entry {
    const COLLECTION: &'static str = "audit_entries";
    const NOUN: &'static str = "audit entry";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.actor_id", "-_id"]),
            Index::on(&["body.resource", "body.resource_id", "-_id"]),
            Index::on(&["body.action", "-_id"]),
            Index::on(&["body.occurred_at"]),
            // Two writers at once cannot both have a place.
            Index::on(&["body.position"]).unique().partial(doc! { "body.position": { "$gt": 0_i64 } }),
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
        self.entries.list(scope, filter(search), Sort::Newest, page).await
    }

    /// The same, oldest first: for exports.
    pub async fn list_oldest(
        &self,
        scope: &Scope,
        search: &Search,
        page: &PageRequest,
    ) -> Result<Page<Stored<Entry>>, store::Error> {
        self.entries.list(scope, filter(search), Sort::Oldest, page).await
    }

    /// The companies and modes that have a chain.
    pub async fn chains(&self) -> Result<Vec<Scope>, store::Error> {
        self.entries.across().scopes(doc! { "body.position": { "$gt": 0_i64 } }).await
    }

    /// Some entries of a chain after a position, in its order.
    pub async fn after(&self, scope: &Scope, position: i64) -> Result<Vec<Stored<Entry>>, store::Error> {
        let filter = doc! { "body.position": { "$gt": position.max(0) } };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.entries.list(scope, filter, Sort::By("body.position"), &page).await?.items)
    }

    /// Puts entries at the end of the chain; those that are in it already stay where they are. Without a transaction: one
    /// command inserts in order, a place can be had once, and the head it follows is one that nothing can take back.
    pub async fn append(&self, scope: &Scope, entries: Vec<(String, Entry)>) -> Result<(), store::Error> {
        let ids: Vec<_> = entries.iter().map(|(id, _)| id.clone()).collect();
        for _ in 0..TRIES {
            let mut known: HashSet<_> =
                self.entries.get_many(scope, &ids).await?.into_iter().map(|e| e.id).collect();
            let placed = doc! { "body.position": { "$gt": 0_i64 } };
            let last = self.entries.first_settled(scope, placed, doc! { "body.position": -1 }).await?;
            let mut head =
                last.map_or_else(Head::default, |e| Head { position: e.body.position, hash: e.body.hash });
            let mut new = Vec::new();
            for (id, entry) in entries.iter().filter(|(id, _)| known.insert(id.clone())) {
                let (entry, next) = linked(&head, scope, id, entry.clone());
                new.push((id.clone(), entry));
                head = next;
            }
            if new.is_empty() {
                return Ok(());
            }
            match self.entries.insert_in_order(scope, new).await {
                // Another replica was faster with the same place or the same event: look again.
                Err(store::Error::Duplicate(_)) => {}
                other => return other,
            }
        }
        Err(store::Error::Busy)
    }
}

fn filter(search: &Search) -> Document {
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
    filter
}
