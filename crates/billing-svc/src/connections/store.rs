//! The queries of connections.

use bson::doc;
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Connection, Status, SyncState};
use crate::providers::ProviderKind;

impl Record for Connection {
    const COLLECTION: &'static str = "connections";
    const NOUN: &'static str = "connection";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.provider"]).unique(),
            Index::global(&["body.sync.state", "body.sync.due_at"]),
            Index::global(&["body.status", "body.watch.due_at"]),
            Index::global(&["body.status", "body.next_sync_at"]),
        ]
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

    /// Those whose next sync may be due, over all companies.
    pub async fn resting(&self, now: Timestamp) -> Result<Vec<Stored<Connection>>, store::Error> {
        self.used_and_due("body.next_sync_at", now).await
    }

    /// Those whose provider is to be asked what never arrived, over all companies.
    pub async fn to_watch(&self, now: Timestamp) -> Result<Vec<Stored<Connection>>, store::Error> {
        self.used_and_due("body.watch.due_at", now).await
    }

    /// Those that may be called and were read in, whose instant in a field has come or was never set.
    async fn used_and_due(
        &self,
        field: &str,
        now: Timestamp,
    ) -> Result<Vec<Stored<Connection>>, store::Error> {
        let usable: Vec<_> = Status::ALL.into_iter().filter(|s| s.is_usable()).map(Status::as_str).collect();
        let query = doc! {
            "body.status": { "$in": usable },
            "body.last_sync_at": { "$type": "date" },
            "body.sync.state": { "$ne": SyncState::Running.as_str() },
            "$or": [{ field: null }, { field: { "$lte": store::time::to_bson(now) } }],
        };
        self.repo.across().list(query, 100).await
    }

    /// Those with a secret that is not in an envelope of this master key, over all companies, but these.
    pub async fn sealed_otherwise(
        &self,
        key_id: &str,
        but: &[String],
    ) -> Result<Vec<Stored<Connection>>, store::Error> {
        let query = doc! { "$and": [sealed_otherwise(key_id), { "_id": { "$nin": but } }] };
        self.repo.across().list(query, 100).await
    }

    /// How many there are.
    pub async fn count_sealed_otherwise(&self, key_id: &str) -> Result<u64, store::Error> {
        self.repo.across().count(sealed_otherwise(key_id)).await
    }
}

fn sealed_otherwise(key_id: &str) -> bson::Document {
    let outdated = doc! { "$or": [{ "key_id": { "$ne": key_id } }, { "data_key": null }] };
    doc! { "$or": [
        { "body.secret.key_id": { "$exists": true, "$ne": key_id } },
        { "body.secret.key_id": { "$exists": true }, "body.secret.data_key": null },
        { "body.webhook_secrets": { "$elemMatch": outdated } },
    ] }
}
