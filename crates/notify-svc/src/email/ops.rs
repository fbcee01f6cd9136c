//! What can be done with mails.

use std::sync::Arc;

use kit::{Caller, Page, PageRequest, Scope, SharedClock, Timestamp};
use store::Stored;
use tokio::sync::Notify;

use super::model::{Draft, Halt, Mail, State};
use super::store::MailStore;
use crate::error::Result;

#[derive(Clone)]
pub struct Mails {
    store: MailStore,
    wake: Arc<Notify>,
    clock: SharedClock,
}

impl Mails {
    pub fn new(store: MailStore, wake: Arc<Notify>, clock: SharedClock) -> Self {
        Self { store, wake, clock }
    }

    /// Queues a mail, once per key.
    pub async fn queue(&self, scope: &Scope, draft: Draft) -> Result<()> {
        if self.store.queue(scope, Mail::new(draft, self.clock.now())).await? {
            self.wake.notify_one();
        }
        Ok(())
    }

    pub async fn deliveries(
        &self,
        caller: &Caller,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Mail>>> {
        Ok(self.store.list(caller.scope()?, state, page).await?)
    }

    /// The subscription was paid then, or its customer left: no mail asked for before that goes out.
    pub async fn halt_recovery(
        &self,
        scope: &Scope,
        subscription: &str,
        why: &str,
        at: Timestamp,
    ) -> Result<()> {
        let stopped = self.store.halt(scope, subscription, Halt { reason: why.to_owned(), at }).await?;
        if stopped > 0 {
            tracing::info!(subscription.id = subscription, stopped, "{stopped} recovery mails stop: {why}");
        }
        Ok(())
    }

    /// The customer was erased.
    pub async fn erase(&self, scope: &Scope, customer: &str) -> Result<()> {
        Ok(self.store.erase(scope, customer).await?)
    }
}
