//! The collection of holdouts: one document per company and mode.

use jiff::Timestamp;
use kit::{Outgoing, Scope, SharedClock};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Record, Repo, Stored};

use crate::error::Error;

/// The holdout of a company in a mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holdout {
    pub share_percent: u32,
    /// Counts up with every change of the share; part of the draw.
    pub period: u32,
    #[serde(with = "store::time")]
    pub started_at: Timestamp,
}

impl Record for Holdout {
    const COLLECTION: &'static str = "holdouts";
    const NOUN: &'static str = "holdout";
}

#[derive(Clone)]
pub struct HoldoutStore {
    repo: Repo<Holdout>,
}

impl HoldoutStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope) -> Result<Option<Stored<Holdout>>, Error> {
        Ok(self.repo.find(scope, bson::doc! { "_id": id(scope) }).await?)
    }

    pub async fn insert(&self, scope: &Scope, holdout: Holdout, events: Vec<Outgoing>) -> Result<(), Error> {
        self.repo.insert(scope, id(scope), holdout, events).await?;
        Ok(())
    }

    pub async fn replace(
        &self,
        read: &Stored<Holdout>,
        holdout: Holdout,
        events: Vec<Outgoing>,
    ) -> Result<(), Error> {
        self.repo.replace(read, holdout, events).await?;
        Ok(())
    }
}

fn id(scope: &Scope) -> String {
    format!("hol_{}_{}", scope.company, scope.mode.as_str())
}
