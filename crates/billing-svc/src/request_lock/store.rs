//! Locks an operator took from their holders: kept, as the audit trail needs a record to ride with.

use kit::{Outgoing, Scope, SharedClock};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Record, Repo};

/// One release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub key: String,
    pub by: String,
}

impl Record for Release {
    const COLLECTION: &'static str = "lock_releases";
    const NOUN: &'static str = "release";
}

#[derive(Clone)]
pub struct ReleaseStore {
    repo: Repo<Release>,
}

impl ReleaseStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn insert(
        &self,
        id: String,
        release: Release,
        events: Vec<Outgoing>,
    ) -> Result<(), store::Error> {
        self.repo.insert(&Scope::platform(), id, release, events).await.map(|_| ())
    }
}
