//! Reading and adding to the audit trail.

use kit::{Caller, Page, PageRequest, Scope};
use store::Stored;

use super::model::{Entry, Search};
use super::store::AuditStore;
use crate::error::Result;

#[derive(Clone)]
pub struct Audit {
    store: AuditStore,
}

/// The caller's company and mode; for an operator without a company, the installation.
fn scope(caller: &Caller) -> Scope {
    caller.scope.clone().unwrap_or_else(Scope::platform)
}

impl Audit {
    pub fn new(store: AuditStore) -> Self {
        Self { store }
    }

    pub async fn list(
        &self,
        caller: &Caller,
        search: &Search,
        page: &PageRequest,
    ) -> Result<Page<Stored<Entry>>> {
        Ok(self.store.list(&scope(caller), search, page).await?)
    }

    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Stored<Entry>> {
        Ok(self.store.get(&scope(caller), id).await?)
    }

    /// Adds entries under ids made from their events', so that an event told twice is one entry.
    pub async fn record(
        &self,
        entries: Vec<(Scope, String, Entry)>,
    ) -> Result<Vec<std::result::Result<(), store::Error>>> {
        let answers = self.store.add(entries).await?;
        let known = |a| match a {
            Err(store::Error::Duplicate(_)) => Ok(()),
            other => other,
        };
        Ok(answers.into_iter().map(known).collect())
    }
}
