//! Reading and adding to the audit trail.

use std::collections::BTreeMap;

use kit::{Caller, Page, PageRequest, Scope};
use store::Stored;

use super::model::{Entry, Search};
use super::store::AuditStore;
use crate::error::Result;

#[derive(Clone)]
pub struct Audit {
    pub(super) store: AuditStore,
}

/// The caller's company and mode; for an operator without a company, the installation.
pub(super) fn scope(caller: &Caller) -> Scope {
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

    /// Adds entries, each at the end of the chain of its company and mode, in the order given. Their ids are made from
    /// their events, so that an event told twice is one entry.
    pub async fn record(&self, entries: Vec<(Scope, String, Entry)>) -> Result<()> {
        let mut by_scope: BTreeMap<Scope, Vec<(String, Entry)>> = BTreeMap::new();
        for (scope, id, entry) in entries {
            by_scope.entry(scope).or_default().push((id, entry));
        }
        for (scope, entries) in by_scope {
            self.store.append(&scope, entries).await?;
        }
        Ok(())
    }
}
