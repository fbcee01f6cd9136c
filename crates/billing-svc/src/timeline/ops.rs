//! What is done with timelines.

use kit::{Page, PageRequest, Scope};
use store::Stored;

use super::model::{Entry, Kind, Told};
use super::store::EntryStore;
use crate::customer_merge::Merges;
use crate::error::Result;

/// The use cases of timelines.
#[derive(Clone)]
pub struct Timeline {
    store: EntryStore,
    merges: Merges,
    keep_days: i64,
}

impl Timeline {
    /// Entries are kept for so many days.
    pub fn new(store: EntryStore, merges: Merges, keep_days: u32) -> Self {
        Self { store, merges, keep_days: i64::from(keep_days) }
    }

    /// What happened with a customer and with whoever became part of it, newest first.
    pub async fn of(
        &self,
        scope: &Scope,
        customer: &str,
        kinds: &[Kind],
        page: &PageRequest,
    ) -> Result<Page<Stored<Entry>>> {
        let whole = self.merges.whole(scope, customer).await?;
        Ok(self.store.of(scope, &whole, kinds, page).await?)
    }

    /// Keeps what was told. Told again, it is kept already.
    pub async fn keep(&self, scope: &Scope, told: Vec<Told>) -> Result<()> {
        let entries: Vec<_> = told.into_iter().map(|t| (t.id(), t.entry(self.keep_days))).collect();
        Ok(self.store.keep(scope, entries).await?)
    }

    /// The customer was erased: the entries go, and what is kept of records that had become part of the customer.
    pub async fn forget(&self, scope: &Scope, customer: &str) -> Result<()> {
        self.store.forget(scope, customer).await?;
        self.merges.forget(scope, customer).await
    }
}
