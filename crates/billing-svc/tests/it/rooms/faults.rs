//! A provider that does as it is told to fail.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use billing_svc::providers::{
    Abilities, AccountInfo, Act, Catalog, ChangePage, Cursor, CustomerSnapshot, EventPage, ExternalId, Fact,
    IdempotencyKey, InboundCall, Owner, Provider, ProviderError, Receipt, Rejected, Snapshot,
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
    /// No answer, and it is done when [`Faults::on_the_way`] was asked for it and somebody does it.
    Late,
}

/// What is to go wrong, and what was asked.
#[derive(Clone, Default)]
pub struct Faults {
    acts: Arc<Mutex<VecDeque<Fault>>>,
    pages: Arc<Mutex<VecDeque<Fault>>>,
    good_pages: Arc<Mutex<usize>>,
    down: Arc<Mutex<bool>>,
    aside: Arc<Mutex<bool>>,
    late: Arc<Mutex<Vec<(ExternalId, Act, IdempotencyKey)>>>,
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

    /// Some pages come, and the one after them goes wrong.
    pub fn pages_before(&self, pages: usize, fault: Fault) {
        *self.good_pages.lock().unwrap() = pages;
        self.next_pages(&[fault]);
    }

    /// Nothing answers any more, or everything does again.
    pub fn down(&self, down: bool) {
        *self.down.lock().unwrap() = down;
    }

    /// What follows is somebody else's doing: nothing of it fails, and nobody counts it.
    pub fn aside(&self, aside: bool) {
        *self.aside.lock().unwrap() = aside;
    }

    /// What was sent and has not arrived; whoever takes it lets it arrive.
    pub fn on_the_way(&self) -> Vec<(ExternalId, Act, IdempotencyKey)> {
        std::mem::take(&mut *self.late.lock().unwrap())
    }

    /// From now on nothing goes wrong.
    pub fn forget(&self) {
        self.down(false);
        self.acts.lock().unwrap().clear();
        self.pages.lock().unwrap().clear();
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

    async fn owner(&self, told: &Fact) -> Result<Option<Owner>, ProviderError> {
        self.faults.check()?;
        self.inner.owner(told).await
    }

    async fn confirms(&self, told: &Fact) -> Result<bool, ProviderError> {
        self.faults.check()?;
        self.inner.confirms(told).await
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
        if *self.faults.aside.lock().unwrap() {
            return self.inner.apply(subscription, act, key).await;
        }
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
            Some(Fault::Late) => {
                let sent = (subscription.clone(), act.clone(), key.clone());
                self.faults.late.lock().unwrap().push(sent);
                Err(no_answer())
            }
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
        let good = {
            let mut good = self.faults.good_pages.lock().unwrap();
            let is = *good > 0;
            *good = good.saturating_sub(1);
            is
        };
        let fault = if good { None } else { self.faults.pages.lock().unwrap().pop_front() };
        match fault {
            Some(_) => Err(no_answer()),
            None => self.inner.changes(since).await,
        }
    }

    async fn events_since(&self, since: &Cursor, from: kit::Timestamp) -> Result<EventPage, ProviderError> {
        self.faults.check()?;
        self.inner.events_since(since, from).await
    }
}
