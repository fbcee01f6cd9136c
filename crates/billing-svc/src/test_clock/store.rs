//! The clocks that were moved: one a company.

use bson::doc;
use kit::{Outgoing, Scope, SharedClock};
use mongodb::Database;
use store::{Record, Repo, Stored};

use super::model::TestClock;

impl Record for TestClock {
    const COLLECTION: &'static str = "test_clocks";
    const NOUN: &'static str = "test clock";
}

#[derive(Clone)]
pub struct ClockStore {
    repo: Repo<TestClock>,
}

/// How many clocks are read at once.
const PAGE: u32 = 500;

fn id_of(scope: &Scope) -> String {
    format!("{}:{}", scope.company, scope.mode.as_str())
}

impl ClockStore {
    pub async fn open(db: &Database, clock: SharedClock) -> store::Result<Self> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn of(&self, scope: &Scope) -> store::Result<Option<Stored<TestClock>>> {
        self.repo.find(scope, doc! { "_id": id_of(scope) }).await
    }

    /// `Duplicate` when there is one.
    pub async fn insert(
        &self,
        scope: &Scope,
        clock: TestClock,
        events: Vec<Outgoing>,
    ) -> store::Result<Stored<TestClock>> {
        self.repo.insert(scope, id_of(scope), clock, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<TestClock>,
        clock: TestClock,
        events: Vec<Outgoing>,
    ) -> store::Result<Stored<TestClock>> {
        self.repo.replace(read, clock, events).await
    }

    /// Every clock that was ever moved.
    pub async fn all(&self) -> store::Result<Vec<Stored<TestClock>>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let found = self.repo.across().next(doc! { "_id": { "$gt": &after } }, PAGE).await?;
            let more = found.len() == PAGE as usize;
            after = found.last().map(|c| c.id.clone()).unwrap_or_default();
            all.extend(found);
            if !more {
                return Ok(all);
            }
        }
    }
}
