//! The queries of API keys.

use bson::doc;
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::ApiKey;

impl Record for ApiKey {
    const COLLECTION: &'static str = "api_keys";
    const NOUN: &'static str = "key";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.hash"]).unique(), Index::on(&["body.replaces"])]
    }
}

#[derive(Clone)]
pub struct ApiKeyStore {
    keys: Repo<ApiKey>,
}

impl ApiKeyStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { keys: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<ApiKey>, store::Error> {
        self.keys.get(scope, id).await
    }

    /// The keys of one mode, newest first.
    pub async fn list(&self, scope: &Scope) -> Result<Vec<Stored<ApiKey>>, store::Error> {
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.keys.list(scope, doc! {}, Sort::Newest, &page).await?.items)
    }

    pub async fn count(&self, scope: &Scope) -> Result<u64, store::Error> {
        self.keys.count(scope, doc! {}).await
    }

    pub async fn by_hash(&self, hash: &str) -> Result<Option<Stored<ApiKey>>, store::Error> {
        self.keys.across().find(doc! { "body.hash": hash }).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        key: ApiKey,
        events: Vec<Outgoing>,
    ) -> Result<Stored<ApiKey>, store::Error> {
        self.keys.insert(scope, id, key, events).await
    }

    /// The key that took this one's place, if one did and works.
    pub async fn successor(&self, scope: &Scope, id: &str) -> Result<Option<Stored<ApiKey>>, store::Error> {
        self.keys.find(scope, doc! { "body.replaces": id, "body.revoked_at": null }).await
    }

    /// Writes when a key ends. Guarded by what it was, not by its version, which every use raises.
    pub async fn end(
        &self,
        read: &Stored<ApiKey>,
        ended: &ApiKey,
        events: Vec<Outgoing>,
    ) -> Result<(), store::Error> {
        let at = |time: Option<Timestamp>| time.map(store::time::to_bson);
        let update = doc! { "$set": {
            "body.expires_at": at(ended.expires_at), "body.revoked_at": at(ended.revoked_at),
        } };
        let guard = doc! {
            "body.expires_at": at(read.body.expires_at), "body.revoked_at": at(read.body.revoked_at),
        };
        let done = self.keys.update(&read.scope, &read.id, guard, update, events).await?;
        done.map(|_| ()).ok_or(store::Error::Stale("key"))
    }

    /// Notes that a key was used.
    pub async fn used(&self, key: &Stored<ApiKey>, at: Timestamp) -> Result<(), store::Error> {
        let update = doc! { "$set": { "body.last_used_at": store::time::to_bson(at) } };
        let guard = doc! { "version": key.version };
        // One of several uses at once notes it.
        self.keys.update(&key.scope, &key.id, guard, update, Vec::new()).await.map(|_| ())
    }
}
