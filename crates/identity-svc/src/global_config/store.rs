//! The queries of settings. A company's values stand under its scope, the installation's under the platform's.

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Assigned, Change};

impl Record for Assigned {
    const COLLECTION: &'static str = "config_values";
    const NOUN: &'static str = "setting";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.key"]).unique()]
    }
}

impl Record for Change {
    const COLLECTION: &'static str = "config_changes";
    const NOUN: &'static str = "version";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.key", "body.version"]).unique(), Index::on(&["body.key", "-_id"])]
    }
}

#[derive(Clone)]
pub struct ConfigStore {
    values: Repo<Assigned>,
    changes: Repo<Change>,
}

impl ConfigStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { values: Repo::open(db, clock.clone()).await?, changes: Repo::open(db, clock).await? })
    }

    /// Everything one level gives; there are never more than settings.
    pub async fn all(&self, scope: &Scope) -> Result<Vec<Stored<Assigned>>, store::Error> {
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.values.list(scope, doc! {}, Sort::Oldest, &page).await?.items)
    }

    pub async fn one(&self, scope: &Scope, key: &str) -> Result<Option<Stored<Assigned>>, store::Error> {
        self.values.find(scope, doc! { "body.key": key }).await
    }

    pub async fn change(
        &self,
        scope: &Scope,
        key: &str,
        version: i64,
    ) -> Result<Stored<Change>, store::Error> {
        let filter = doc! { "body.key": key, "body.version": version };
        self.changes.find(scope, filter).await?.ok_or(store::Error::NotFound("version"))
    }

    pub async fn history(
        &self,
        scope: &Scope,
        key: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<Change>>, store::Error> {
        self.changes.list(scope, doc! { "body.key": key }, Sort::Newest, page).await
    }

    /// Writes a value and its change together. `read` is what the value stood at; none where there was none.
    pub async fn write(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        read: Option<&Stored<Assigned>>,
        next: Assigned,
        change: Change,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Assigned>, store::Error> {
        let stored = match read {
            Some(read) => self.values.replace_in(tx, read, next, Vec::new()).await?,
            None => match self.values.insert_in(tx, scope, kit::id::new("cfg"), next, Vec::new()).await {
                // Somebody else gave it its first value meanwhile.
                Err(store::Error::Duplicate(noun)) => return Err(store::Error::Stale(noun)),
                other => other?,
            },
        };
        self.changes.insert_in(tx, scope, kit::id::new("cfv"), change, events).await?;
        Ok(stored)
    }
}
