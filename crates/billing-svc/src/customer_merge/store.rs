//! The queries of merges.

use bson::doc;
use kit::{Outgoing, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::Merge;

impl Record for Merge {
    const COLLECTION: &'static str = "customer_merges";
    const NOUN: &'static str = "merge";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.absorbed_id"]).unique().partial(doc! { "body.standing": true }),
            Index::on(&["body.survivor_id", "_id"]),
        ]
    }
}

#[derive(Clone)]
pub struct MergeStore {
    repo: Repo<Merge>,
}

impl MergeStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Merge>, store::Error> {
        self.repo.get(scope, id).await
    }

    /// The merge by which somebody is part of another now.
    pub async fn standing(
        &self,
        scope: &Scope,
        absorbed: &str,
    ) -> Result<Option<Stored<Merge>>, store::Error> {
        self.repo.find(scope, doc! { "body.absorbed_id": absorbed, "body.standing": true }).await
    }

    /// The merges into one customer.
    pub async fn joined_into(
        &self,
        scope: &Scope,
        survivor: &str,
    ) -> Result<Vec<Stored<Merge>>, store::Error> {
        let query = doc! { "body.survivor_id": survivor };
        Ok(self.repo.list(scope, query, Sort::Newest, &PageRequest::new(200, "")).await?.items)
    }

    pub async fn insert_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: String,
        merge: Merge,
    ) -> Result<Stored<Merge>, store::Error> {
        self.repo.insert_in(tx, scope, id, merge, Vec::new()).await
    }

    pub async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Merge>,
        merge: Merge,
    ) -> Result<Stored<Merge>, store::Error> {
        self.repo.replace_in(tx, read, merge, Vec::new()).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Merge>,
        merge: Merge,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Merge>, store::Error> {
        self.repo.replace(read, merge, events).await
    }
}
