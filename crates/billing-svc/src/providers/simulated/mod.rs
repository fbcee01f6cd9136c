//! The simulated provider: billing as the real ones do it, in books of our own. The demo company bills through it, and so
//! does whoever wants to try something out. It passes the same contract suite as the others.

mod acts;
mod import;
mod invoices;
mod model;
mod news;
mod period;
mod rpc;
mod store;
mod time;

use std::collections::BTreeMap;

use ::store::Sort;
use anyhow::Context;
use async_trait::async_trait;
use connect::sign;
use kit::{PageRequest, Scope, SecretString, SharedClock, Timestamp};
use serde::{Deserialize, Serialize};

pub use acts::{No, Outcome};
pub use import::{Fixture, FixturePrice, Fixtures};
pub use model::{Contract, Invoice, Payment, Tariff};
pub use news::News;
pub use rpc::{operations, server};
pub use store::{ACCOUNTS, Books, WITH_EVENTS, account_id};

use self::news::Notice;
use self::store::changed_since;
use super::{
    Abilities, Ability, AccountInfo, Act, Catalog, Change, ChangePage, Connection, Cursor, CustomerSnapshot,
    EventPage, ExternalId, Fact, IdempotencyKey, InboundCall, Plan, Price, Provider, ProviderError, Receipt,
    Rejected, Snapshot, Tools,
};

pub(super) static ABILITIES: Abilities = Abilities {
    discount: Ability::Yes,
    pause: Ability::Yes,
    plan_switch_now: Ability::Yes,
    plan_switch_at_period_end: Ability::Yes,
    trial_extension: Ability::If("in_trial"),
    term_extension: Ability::Yes,
    credit: Ability::Yes,
    refund: Ability::Yes,
    cancel_at_period_end: Ability::Yes,
    cancel_now: Ability::Yes,
};

/// The header a signed call of the simulated provider carries, in Stripe's form.
pub const SIGNATURE: &str = "simulated-signature";
/// How many a page of changes holds.
const PAGE: u32 = 200;
/// How far a pass looks back before the last one began: writes that were under way then.
const OVERLAP_SECONDS: i64 = 10;

/// One company's books.
pub struct Simulated {
    books: Books,
    scope: Scope,
    webhook_secrets: Vec<SecretString>,
    /// The machine's: by it is written when something was written.
    clock: SharedClock,
}

/// A place in a pass. `began`: when the pass did.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Customers { began: Timestamp, since: Option<Timestamp>, page: Option<String> },
    Subscriptions { began: Timestamp, since: Option<Timestamp>, page: Option<String> },
    Rest { since: Timestamp },
}

impl Simulated {
    pub fn new(connection: &Connection, tools: &Tools) -> Result<Self, ProviderError> {
        let books = tools.books.clone().ok_or(ProviderError::NotOffered("provider_not_available"))?;
        Ok(Self {
            books,
            scope: connection.scope.clone(),
            webhook_secrets: connection.webhook_secrets.clone(),
            clock: tools.clock.clone(),
        })
    }

    /// Carries an act out in one conditional write: the key is in the same document as what it did.
    async fn carry_out(
        &self,
        id: &ExternalId,
        act: &Act,
        key: &IdempotencyKey,
    ) -> Result<Outcome, ProviderError> {
        let tariff = match act {
            Act::SwitchPlan { price_id, .. } => {
                self.books.tariff(&self.scope, price_id).await.map_err(failed)?.map(|t| t.body)
            }
            _ => None,
        };
        loop {
            let now = self.now().await?;
            let read = self.books.contract(&self.scope, id.as_str(), now).await.map_err(failed)?;
            let mut body = read.body.clone();
            let outcome = body.carry_out(act, key.as_str(), tariff.clone(), now).map_err(|no| match no {
                No::Refused { slug, message } => {
                    ProviderError::Refused { slug: slug.into(), message: message.into() }
                }
                No::KeyReused => ProviderError::KeyReused,
            })?;
            if body == read.body {
                return Ok(outcome);
            }
            match self.books.write_down(&read, body, Vec::new()).await {
                Ok(_) => return Ok(outcome),
                // Another act was faster; this one looks again.
                Err(::store::Error::Stale(_)) => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }

    /// The time by which the books go.
    async fn now(&self) -> Result<Timestamp, ProviderError> {
        self.books.now(&self.scope).await.map_err(failed)
    }

    fn place(&self, cursor: &Cursor) -> Result<Place, ProviderError> {
        let began = self.clock.now();
        if cursor.is_start() {
            return Ok(Place::Customers { began, since: None, page: None });
        }
        let place = serde_json::from_str(cursor.as_str()).context("not a cursor of ours");
        Ok(match place.map_err(ProviderError::Unreadable)? {
            Place::Rest { since } => Place::Customers { began, since: Some(since), page: None },
            under_way => under_way,
        })
    }
}

#[async_trait]
impl Provider for Simulated {
    fn abilities(&self) -> &'static Abilities {
        &ABILITIES
    }

    fn verify(&self, call: &InboundCall<'_>) -> Result<Vec<Fact>, Rejected> {
        sign::stripe(call.header(SIGNATURE), call.body, &self.webhook_secrets, call.now, sign::TOLERANCE)?;
        let notice: Notice =
            serde_json::from_slice(call.body).map_err(|e| Rejected::Unreadable(e.to_string()))?;
        Ok(vec![notice.into()])
    }

    async fn test(&self) -> Result<AccountInfo, ProviderError> {
        let id = format!("sim_{}", self.scope.company);
        Ok(AccountInfo { id, name: "Simulated billing".into(), live: None, country: None })
    }

    async fn subscription(&self, id: &ExternalId) -> Result<Snapshot, ProviderError> {
        let now = self.now().await?;
        let read = self.books.contract(&self.scope, id.as_str(), now).await.map_err(failed)?;
        Ok(read.body.snapshot(read.version, now))
    }

    async fn customer(&self, id: &ExternalId) -> Result<CustomerSnapshot, ProviderError> {
        let read = self.books.account(&self.scope, id.as_str()).await.map_err(failed)?;
        Ok(read.body.snapshot(read.version))
    }

    async fn apply(
        &self,
        subscription: &ExternalId,
        act: &Act,
        key: &IdempotencyKey,
    ) -> Result<Receipt, ProviderError> {
        let (replayed, grant) = match self.carry_out(subscription, act, key).await? {
            Outcome::Done(grant) => (false, grant),
            Outcome::Before(grant) => (true, grant),
        };
        Ok(Receipt { request_id: None, replayed, made: grant.map(ExternalId::from) })
    }

    async fn given(
        &self,
        subscription: &ExternalId,
        key: &IdempotencyKey,
    ) -> Result<Option<ExternalId>, ProviderError> {
        let now = self.now().await?;
        let read = self.books.contract(&self.scope, subscription.as_str(), now).await.map_err(failed)?;
        Ok(read.body.given(key.as_str()).map(ExternalId::new))
    }

    async fn catalog(&self) -> Result<Catalog, ProviderError> {
        let mut plans = BTreeMap::new();
        let mut prices = Vec::new();
        let mut page = PageRequest::new(PAGE, "");
        loop {
            let found =
                self.books.tariffs.list(&self.scope, bson::Document::new(), Sort::Oldest, &page).await;
            let found = found.map_err(failed)?;
            for t in found.items.into_iter().map(|t| t.body) {
                plans.entry(t.plan.clone()).or_insert_with(|| Plan {
                    id: t.plan.clone(),
                    name: t.plan.clone(),
                    active: true,
                });
                prices.push(Price {
                    id: t.price_id,
                    plan: t.plan,
                    name: t.name,
                    amount: Some(t.amount),
                    interval: t.interval,
                    interval_count: t.interval_count,
                    active: true,
                });
            }
            match found.next_cursor {
                Some(next) => page = PageRequest::new(PAGE, next),
                None => break,
            }
        }
        Ok(Catalog { plans: plans.into_values().collect(), prices, coupons: Vec::new() })
    }

    async fn changes(&self, since: &Cursor) -> Result<ChangePage, ProviderError> {
        let now = self.now().await?;
        let (changes, next) = match self.place(since)? {
            Place::Customers { began, since, page } => {
                if page.is_none() {
                    self.books.settle_due(&self.scope, now).await.map_err(failed)?;
                }
                let page = PageRequest::new(PAGE, page.unwrap_or_default());
                let list = self.books.accounts.list(&self.scope, changed_since(since), order(since), &page);
                let found = list.await.map_err(failed)?;
                let changes = found.items.iter().map(|a| Change::Customer(a.body.snapshot(a.version)));
                let next = match found.next_cursor {
                    Some(page) => Place::Customers { began, since, page: Some(page) },
                    None => Place::Subscriptions { began, since, page: None },
                };
                (changes.collect(), next)
            }
            Place::Subscriptions { began, since, page } => {
                let page = PageRequest::new(PAGE, page.unwrap_or_default());
                let list = self.books.contracts.list(&self.scope, changed_since(since), order(since), &page);
                let found = list.await.map_err(failed)?;
                let snapshot = |c: &::store::Stored<model::Contract>| {
                    Change::Subscription(Box::new(c.body.snapshot(c.version, now)))
                };
                let changes = found.items.iter().map(snapshot).collect();
                let rest = began.checked_sub(jiff::SignedDuration::from_secs(OVERLAP_SECONDS));
                let next = match found.next_cursor {
                    Some(page) => Place::Subscriptions { began, since, page: Some(page) },
                    None => Place::Rest { since: rest.unwrap_or(began) },
                };
                (changes, next)
            }
            Place::Rest { .. } => {
                return Err(ProviderError::Unreadable(anyhow::anyhow!("a pass without a place")));
            }
        };
        let text = serde_json::to_string(&next).map_err(|e| ProviderError::Unreadable(e.into()))?;
        Ok(ChangePage { changes, done: matches!(next, Place::Rest { .. }), next: Cursor::new(text) })
    }

    async fn events_since(&self, since: &Cursor, from: Timestamp) -> Result<EventPage, ProviderError> {
        // The books keep what stands there, not what happened.
        let since = match since.is_start() {
            true => {
                let rest = serde_json::to_string(&Place::Rest { since: from });
                Cursor::new(rest.map_err(|e| ProviderError::Unreadable(e.into()))?)
            }
            false => since.clone(),
        };
        Ok(EventPage::of_changes(self.changes(&since).await?, self.clock.now()))
    }
}

/// Everything goes by id, which nothing moves; what changed goes by when, as an index has it. What changes again while
/// it is read comes again.
fn order(since: Option<Timestamp>) -> Sort {
    since.map_or(Sort::Oldest, |_| Sort::By("updated_at"))
}

fn failed(error: ::store::Error) -> ProviderError {
    match error {
        ::store::Error::NotFound(what) => ProviderError::NotFound(what),
        other => ProviderError::Unavailable(other.into()),
    }
}
