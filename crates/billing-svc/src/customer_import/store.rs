//! The queries of imports and of what is wrong with their rows.

use std::time::Duration;

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Import, RowFault};

impl Record for Import {
    const COLLECTION: &'static str = "customer_imports";
    const NOUN: &'static str = "import";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.same_as"]).unique()]
    }
}

impl Record for RowFault {
    const COLLECTION: &'static str = "customer_import_errors";
    const NOUN: &'static str = "row";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.import_id", "_id"]), Index::global(&["body.forget_at"]).ttl(Duration::ZERO)]
    }
}

#[derive(Clone)]
pub struct ImportStore {
    imports: Repo<Import>,
    faults: Repo<RowFault>,
}

impl ImportStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { imports: Repo::open(db, clock.clone()).await?, faults: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Import>, store::Error> {
        self.imports.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<Page<Stored<Import>>, store::Error> {
        self.imports.list(scope, doc! {}, Sort::Newest, page).await
    }

    /// The import that has a file and mapping already.
    pub async fn same_as(
        &self,
        scope: &Scope,
        same_as: &str,
    ) -> Result<Option<Stored<Import>>, store::Error> {
        self.imports.find(scope, doc! { "body.same_as": same_as }).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        import: Import,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Import>, store::Error> {
        self.imports.insert(scope, id, import, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Import>,
        import: Import,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Import>, store::Error> {
        self.imports.replace(read, import, events).await
    }

    /// Keeps faults under names that follow from import, row and place: kept twice they are there once.
    pub async fn keep(&self, scope: &Scope, faults: Vec<RowFault>) -> Result<(), store::Error> {
        let mut records = Vec::with_capacity(faults.len());
        let (mut row, mut place) = (0, 0);
        for fault in faults {
            place = if fault.row == row { place + 1 } else { 0 };
            row = fault.row;
            records.push((format!("{}_{row:010}_{place:03}", fault.import_id), fault, Vec::new()));
        }
        if records.is_empty() {
            return Ok(());
        }
        for outcome in self.faults.insert_many(scope, records).await? {
            match outcome {
                Ok(()) | Err(store::Error::Duplicate(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    pub async fn faults(
        &self,
        scope: &Scope,
        import: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<RowFault>>, store::Error> {
        self.faults.list(scope, doc! { "body.import_id": import }, Sort::Oldest, page).await
    }
}
