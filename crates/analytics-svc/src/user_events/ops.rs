//! Taking events in, and listing them.

use kit::{Page, PageRequest, Scope, SharedClock, Timestamp};

use super::model::{Event, NewEvent, Outcome};
use super::store::{Counts, EventStore, Filter};
use crate::error::Error;

#[derive(Clone)]
pub struct UserEvents {
    store: EventStore,
    clock: SharedClock,
}

impl UserEvents {
    pub fn new(store: EventStore, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Takes in a batch: each event is answered for itself, in the order sent.
    pub async fn record(&self, scope: &Scope, batch: Vec<NewEvent>) -> Result<Vec<Outcome>, Error> {
        let now = self.clock.now();
        let mut outcomes: Vec<Option<Outcome>> = Vec::with_capacity(batch.len());
        let mut good = Vec::with_capacity(batch.len());
        for event in batch {
            match event.accept(now, || kit::id::new("uev")) {
                Ok(event) => {
                    good.push(event);
                    outcomes.push(None);
                }
                Err((id, why)) => outcomes.push(Some(Outcome::Rejected { id, why })),
            }
        }
        let new = match good.as_slice() {
            [] => Vec::new(),
            [one] => vec![self.store.insert_one(scope, one).await?],
            many => self.store.insert_batch(scope, many).await?,
        };
        let mut written = good.into_iter().zip(new).map(|(Event { id, .. }, new)| {
            if new { Outcome::Accepted { id } } else { Outcome::Duplicate { id } }
        });
        // Every gap stands for one event that was written, in the same order.
        Ok(outcomes.into_iter().filter_map(|o| o.or_else(|| written.next())).collect())
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Event>, Error> {
        self.store.list(scope, filter, page).await
    }

    pub async fn count(
        &self,
        scope: &Scope,
        customers: &[String],
        name: Option<&str>,
        since: Timestamp,
    ) -> Result<u64, Error> {
        self.store.count(scope, customers, name, since).await
    }

    pub async fn last(&self, scope: &Scope, customers: &[String]) -> Result<Option<Timestamp>, Error> {
        self.store.last(scope, customers).await
    }

    pub async fn counts(&self, scope: &Scope, name: &str, since: Timestamp) -> Result<Counts, Error> {
        self.store.counts(scope, name, since).await
    }

    pub async fn erase(&self, scope: &Scope, customers: &[String]) -> Result<(), Error> {
        self.store.erase(scope, customers).await
    }
}
