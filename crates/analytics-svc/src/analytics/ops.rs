//! Hearing about cancel flows, and reporting on them.

use kit::{Scope, SharedClock, Timestamp};

use super::model::{Heard, Overview, Query};
use super::store::ReportStore;
use crate::error::Error;

#[derive(Clone)]
pub struct Overviews {
    store: ReportStore,
    clock: SharedClock,
}

impl Overviews {
    pub fn new(store: ReportStore, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Takes in what was told. Hearing it again, or late, changes nothing.
    pub async fn hear(&self, scope: &Scope, heard: Vec<Heard>) -> Result<(), Error> {
        self.store.hear(scope, heard).await
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn overview(&self, scope: &Scope, query: &Query) -> Result<Overview, Error> {
        let now = self.clock.now();
        let mut all = Overview::default();
        self.store.sessions(scope, query, |session| all.add(&session, now)).await?;
        Ok(all)
    }
}
