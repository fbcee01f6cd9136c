//! The queries of exports.

use bson::doc;
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::Export;

impl Record for Export {
    const COLLECTION: &'static str = "customer_exports";
    const NOUN: &'static str = "export";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.key"]).unique(),
            Index::on(&["body.state", "_id"]),
            Index::global(&["body.state", "body.expires_at"]),
        ]
    }
}

#[derive(Clone)]
pub struct ExportStore {
    repo: Repo<Export>,
}

impl ExportStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Export>, store::Error> {
        self.repo.get(scope, id).await
    }

    /// The one to be had for what is asked.
    pub async fn of_key(&self, scope: &Scope, key: &str) -> Result<Option<Stored<Export>>, store::Error> {
        self.repo.find(scope, doc! { "body.key": key }).await
    }

    /// Those that are made or being made. There is one per format and filter; nobody has more than a page.
    pub async fn standing(&self, scope: &Scope) -> Result<Vec<Stored<Export>>, store::Error> {
        let query = doc! { "body.state": { "$in": ["queued", "running", "ready"] } };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.repo.list(scope, query, Sort::Newest, &page).await?.items)
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        export: Export,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Export>, store::Error> {
        self.repo.insert(scope, id, export, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Export>,
        export: Export,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Export>, store::Error> {
        self.repo.replace(read, export, events).await
    }

    /// Files whose time is over, of all companies.
    pub async fn over_by(&self, now: Timestamp) -> Result<Vec<Stored<Export>>, store::Error> {
        let query = doc! { "body.state": "ready", "body.expires_at": { "$lte": store::time::to_bson(now) } };
        self.repo.across().list(query, 100).await
    }
}
