//! Where what companies made stricter is kept.

use bson::doc;
use kit::{Outgoing, PageRequest, Scope, SharedClock};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Record, Repo, Sort, Stored};

use super::model::Requirements;

/// A row as a company has it; none: as it is shipped again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tightened {
    pub region: String,
    pub requirements: Option<Requirements>,
}

impl Record for Tightened {
    const COLLECTION: &'static str = "region_rules";
    const NOUN: &'static str = "region rule";
}

/// The rows companies made stricter.
#[derive(Clone)]
pub struct RuleStore(Repo<Tightened>);

impl RuleStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    /// The company's rows: there are fewer than a page of them, as there are regions.
    pub async fn all(&self, scope: &Scope) -> Result<Vec<Stored<Tightened>>, store::Error> {
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.0.list(scope, doc! {}, Sort::Oldest, &page).await?.items)
    }

    /// Writes a row; ids of records are unique among all companies.
    pub async fn put(
        &self,
        scope: &Scope,
        row: Tightened,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Tightened>, store::Error> {
        let id = format!("{}.{}.{}", scope.company, scope.mode.as_str(), row.region);
        self.0.upsert(scope, id, row, events).await
    }
}
