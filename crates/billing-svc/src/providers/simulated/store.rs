//! The collections of the simulated provider, in the service's own database but nobody else's business.

use bson::{Document, doc};
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Account, Contract, Tariff};

impl Record for Account {
    const COLLECTION: &'static str = "simulated_customers";
    const NOUN: &'static str = "customer";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["updated_at", "_id"])]
    }
}

impl Record for Contract {
    const COLLECTION: &'static str = "simulated_subscriptions";
    const NOUN: &'static str = "subscription";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["updated_at", "_id"]), Index::on(&["body.due_at"])]
    }
}

impl Record for Tariff {
    const COLLECTION: &'static str = "simulated_prices";
    const NOUN: &'static str = "price";
}

/// The books of every company that bills through the simulated provider.
#[derive(Clone)]
pub struct Books {
    pub accounts: Repo<Account>,
    pub contracts: Repo<Contract>,
    pub tariffs: Repo<Tariff>,
}

/// The collections that events ride in: the relay reads them.
pub const WITH_EVENTS: [&str; 2] = [Account::COLLECTION, Tariff::COLLECTION];

/// Where the customers of the books stand, and under which id.
pub const ACCOUNTS: &str = Account::COLLECTION;

pub fn account_id(scope: &Scope, external: &str) -> String {
    id_of(scope, "customer", external)
}

/// A record's id in the books: a provider's ids are its customers' own, so company and mode belong into it.
pub fn id_of(scope: &Scope, kind: &str, external: &str) -> String {
    format!("{}:{}:{kind}:{external}", scope.company, scope.mode.as_str())
}

impl Books {
    pub async fn open(db: &mongodb::Database, clock: SharedClock) -> store::Result<Self> {
        Ok(Self {
            accounts: Repo::open(db, clock.clone()).await?,
            contracts: Repo::open(db, clock.clone()).await?,
            tariffs: Repo::open(db, clock).await?,
        })
    }

    pub async fn account(&self, scope: &Scope, external: &str) -> store::Result<Stored<Account>> {
        self.accounts.get(scope, &id_of(scope, "customer", external)).await
    }

    pub async fn tariff(&self, scope: &Scope, price: &str) -> store::Result<Option<Stored<Tariff>>> {
        self.tariffs.find(scope, doc! { "_id": id_of(scope, "price", price) }).await
    }

    /// A subscription as it stands at `now`; what time has changed is written down first, so that its version tells.
    pub async fn contract(
        &self,
        scope: &Scope,
        external: &str,
        now: Timestamp,
    ) -> store::Result<Stored<Contract>> {
        loop {
            let read = self.contracts.get(scope, &id_of(scope, "subscription", external)).await?;
            match self.settled(read, now).await {
                Err(store::Error::Stale(_)) => {}
                other => return other,
            }
        }
    }

    async fn settled(&self, read: Stored<Contract>, now: Timestamp) -> store::Result<Stored<Contract>> {
        let mut body = read.body.clone();
        body.settle(now);
        if body == read.body {
            return Ok(read);
        }
        self.contracts.replace(&read, body, Vec::new()).await
    }

    /// Writes down what time has changed in the whole company since somebody last looked.
    pub async fn settle_due(&self, scope: &Scope, now: Timestamp) -> store::Result<()> {
        loop {
            let due = doc! { "body.due_at": { "$lte": store::time::to_bson(now) } };
            let page = self.contracts.list(scope, due, Sort::Oldest, &PageRequest::new(200, "")).await?;
            if page.items.is_empty() {
                return Ok(());
            }
            for read in page.items {
                match self.settled(read, now).await {
                    // Somebody else was there first.
                    Err(store::Error::Stale(_)) | Ok(_) => {}
                    Err(e) => return Err(e),
                }
            }
        }
    }

    /// Writes records by id: those that are there already anew. The events ride with the first.
    pub async fn write<T: Record>(
        repo: &Repo<T>,
        scope: &Scope,
        records: Vec<(String, T)>,
        events: Vec<Outgoing>,
    ) -> store::Result<()> {
        let mut first = events.clone();
        let fresh = records.iter().map(|(id, body)| (id.clone(), body.clone(), std::mem::take(&mut first)));
        let answers = repo.insert_many(scope, fresh.collect()).await?;
        let mut first = events;
        for ((id, body), answer) in records.into_iter().zip(answers) {
            let events = std::mem::take(&mut first);
            match answer {
                Ok(()) => {}
                Err(store::Error::Duplicate(_)) => drop(repo.upsert(scope, id, body, events).await?),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// What changed at or after an instant.
pub fn changed_since(at: Option<Timestamp>) -> Document {
    at.map_or_else(Document::new, |at| doc! { "updated_at": { "$gte": store::time::to_bson(at) } })
}
