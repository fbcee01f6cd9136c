//! The queries of connections.

use bson::doc;
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Connection, SyncState};
use crate::providers::ProviderKind;

impl Record for Connection {
    const COLLECTION: &'static str = "connections";
    const NOUN: &'static str = "connection";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.provider"]).unique(), Index::global(&["body.sync.state", "body.sync.due_at"])]
    }
}

#[derive(Clone)]
pub struct ConnectionStore {
    repo: Repo<Connection>,
}

impl ConnectionStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn of(
        &self,
        scope: &Scope,
        provider: ProviderKind,
    ) -> Result<Option<Stored<Connection>>, store::Error> {
        self.repo.find(scope, doc! { "body.provider": provider.as_str() }).await
    }

    /// All of a company's; there is one per provider at most.
    pub async fn all(&self, scope: &Scope) -> Result<Vec<Stored<Connection>>, store::Error> {
        Ok(self.repo.list(scope, doc! {}, Sort::Oldest, &PageRequest::new(50, "")).await?.items)
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: Connection,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Connection>, store::Error> {
        self.repo.insert(scope, id, body, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Connection>,
        body: Connection,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Connection>, store::Error> {
        self.repo.replace(read, body, events).await
    }

    /// Those whose sync is to go on, over all companies.
    pub async fn syncing(&self, now: Timestamp) -> Result<Vec<Stored<Connection>>, store::Error> {
        let query = doc! {
            "body.sync.state": SyncState::Running.as_str(),
            "body.sync.due_at": { "$lte": store::time::to_bson(now) },
        };
        self.repo.across().list(query, 20).await
    }
}
