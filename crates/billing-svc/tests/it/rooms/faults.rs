//! A provider that does as it is told to fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use billing_svc::providers::{
    Abilities, AccountInfo, Act, Catalog, ChangePage, Cursor, CustomerSnapshot, ExternalId, Fact,
    IdempotencyKey, InboundCall, Provider, ProviderError, Receipt, Rejected, Snapshot,
};

/// What goes wrong with one call that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The provider says no.
    Refuses,
    /// No answer, and nothing was done.
    NoAnswer,
    /// It was done, but the answer is lost.
    AnswerLost,
    /// It answers "taken" and does nothing.
    Forgets,
}

/// What is to go wrong, and what was asked.
#[derive(Clone, Default)]
pub struct Faults {
    acts: Arc<Mutex<VecDeque<Fault>>>,
    pages: Arc<Mutex<VecDeque<Fault>>>,
    down: Arc<Mutex<bool>>,
    goes_down: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Faults {
    /// The next acts go wrong like this, one each.
    pub fn next(&self, faults: &[Fault]) {
        self.acts.lock().unwrap().extend(faults);
    }

    /// The next pages of changes go wrong.
    pub fn next_pages(&self, faults: &[Fault]) {
        self.pages.lock().unwrap().extend(faults);
    }

    /// Nothing answers any more, or everything does again.
    pub fn down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    /// Whether nothing answers any more once the next act was asked for.
    pub fn down_after_act(&self, goes_down: bool) {
        *self.goes_down.lock().unwrap() = goes_down;
    }

    /// Every act asked for: its name and its key.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().unwrap().clone()
    }

    fn check(&self) -> Result<(), ProviderError> {
        if *self.down.lock().unwrap() { Err(no_answer()) } else { Ok(()) }
    }
}

fn no_answer() -> ProviderError {
    ProviderError::Unavailable(anyhow::anyhow!("on demand"))
}

/// The provider behind the faults.
pub struct Faulty {
    pub inner: Arc<dyn Provider>,
    pub faults: Faults,
}

#[async_trait]
impl Provider for Faulty {
    fn abilities(&self) -> &'static Abilities {
        self.inner.abilities()
    }

    fn verify(&self, call: &InboundCall<'_>) -> Result<Vec<Fact>, Rejected> {
        self.inner.verify(call)
    }

    async fn test(&self) -> Result<AccountInfo, ProviderError> {
        self.faults.check()?;
        self.inner.test().await
    }

    async fn subscription(&self, id: &ExternalId) -> Result<Snapshot, ProviderError> {
        self.faults.check()?;
        self.inner.subscription(id).await
    }

    async fn customer(&self, id: &ExternalId) -> Result<CustomerSnapshot, ProviderError> {
        self.faults.check()?;
        self.inner.customer(id).await
    }

    async fn apply(
        &self,
        subscription: &ExternalId,
        act: &Act,
        key: &IdempotencyKey,
    ) -> Result<Receipt, ProviderError> {
        self.faults.check()?;
        self.faults.asked.lock().unwrap().push((act.name().to_owned(), key.as_str().to_owned()));
        let fault = self.faults.acts.lock().unwrap().pop_front();
        if *self.faults.goes_down.lock().unwrap() {
            self.faults.down(true);
        }
        match fault {
            Some(Fault::Refuses) => {
                Err(ProviderError::Refused { slug: "no".into(), message: "on demand".into() })
            }
            Some(Fault::NoAnswer) => Err(no_answer()),
            Some(Fault::Forgets) => Ok(Receipt::default()),
            Some(Fault::AnswerLost) => {
                self.inner.apply(subscription, act, key).await?;
                Err(no_answer())
            }
            None => self.inner.apply(subscription, act, key).await,
        }
    }

    async fn given(
        &self,
        subscription: &ExternalId,
        key: &IdempotencyKey,
    ) -> Result<Option<ExternalId>, ProviderError> {
        self.faults.check()?;
        self.inner.given(subscription, key).await
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        self.faults.check()?;
        self.inner.catalog().await
    }

    async fn changes(&self, since: &Cursor) -> Result<ChangePage, ProviderError> {
        self.faults.check()?;
        let fault = self.faults.pages.lock().unwrap().pop_front();
        match fault {
            Some(_) => Err(no_answer()),
            None => self.inner.changes(since).await,
        }
    }
}
