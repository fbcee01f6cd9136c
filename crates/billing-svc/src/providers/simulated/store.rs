//! The collections of the simulated provider, in the service's own database but nobody else's business.

use std::sync::Arc;

use bson::{Document, doc};
use futures_util::future::BoxFuture;
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Account, Contract, Payment, Tariff};
use super::news::News;
use crate::test_clock::Clocks;

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
        vec![Index::on(&["updated_at", "_id"]), Index::on(&["body.due_at"]), Index::global(&["body.due_at"])]
    }
}

/// What is still to be told.
impl Record for News {
    const COLLECTION: &'static str = "simulated_news";
    const NOUN: &'static str = "news";
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
    news: Repo<News>,
    clocks: Clocks,
    db: mongodb::Database,
}

/// How many subscriptions are settled, and how much news is told, in one go.
const SOME: u32 = 200;

/// The collections that events ride in: the relay reads them.
pub const WITH_EVENTS: [&str; 3] = [Account::COLLECTION, Contract::COLLECTION, Tariff::COLLECTION];

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
            tariffs: Repo::open(db, clock.clone()).await?,
            news: Repo::open(db, clock.clone()).await?,
            clocks: Clocks::open(db, clock).await?,
            db: db.clone(),
        })
    }

    /// The time by which a company's books go.
    pub async fn now(&self, scope: &Scope) -> store::Result<Timestamp> {
        self.clocks.now(scope).await
    }

    /// The time of the machine.
    pub fn machine(&self) -> Timestamp {
        self.clocks.machine()
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
        self.write_down(&read, body, Vec::new()).await
    }

    /// Writes what became of a subscription, and what is to be told of it: both or neither.
    pub async fn write_down(
        &self,
        read: &Stored<Contract>,
        mut body: Contract,
        events: Vec<Outgoing>,
    ) -> store::Result<Stored<Contract>> {
        let news = std::mem::take(&mut body.news);
        if body == read.body && events.is_empty() {
            return Ok(read.clone());
        }
        if news.is_empty() {
            return self.contracts.replace(read, body, events).await;
        }
        let writing = Arc::new(Writing { books: self.clone(), read: read.clone(), body, news, events });
        store::transaction(&self.db, async move |tx| writing.clone().run(tx).await).await
    }

    /// Says how a subscription's payments go from now on.
    pub async fn set_payment(
        &self,
        scope: &Scope,
        external: &str,
        payment: Payment,
        audit: impl Fn(&Stored<Contract>) -> Option<Outgoing>,
    ) -> store::Result<Stored<Contract>> {
        loop {
            let now = self.now(scope).await?;
            let read = self.contract(scope, external, now).await?;
            let mut body = read.body.clone();
            body.pays(payment, now);
            match self.write_down(&read, body, audit(&read).into_iter().collect()).await {
                Err(store::Error::Stale(_)) => {}
                other => return other,
            }
        }
    }

    /// Writes down what time has changed in the whole company since somebody last looked.
    pub async fn settle_due(&self, scope: &Scope, now: Timestamp) -> store::Result<()> {
        while self.settle_some(scope, now).await? > 0 {}
        Ok(())
    }

    /// The same for some subscriptions, those first that are due first; how many those were.
    pub async fn settle_some(&self, scope: &Scope, now: Timestamp) -> store::Result<usize> {
        let due = doc! { "$lte": store::time::to_bson(now) };
        let due = self.by_due(scope, due, SOME).await?;
        let found = due.len();
        for read in due {
            match self.settled(read, now).await {
                // Somebody else was there first.
                Err(store::Error::Stale(_)) | Ok(_) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(found)
    }

    /// When time next changes something after this.
    pub async fn next_due(&self, scope: &Scope, after: Timestamp) -> store::Result<Option<Timestamp>> {
        let due = doc! { "$gt": store::time::to_bson(after) };
        Ok(self.by_due(scope, due, 1).await?.into_iter().next().and_then(|c| c.body.due_at))
    }

    async fn by_due(&self, scope: &Scope, due: Document, most: u32) -> store::Result<Vec<Stored<Contract>>> {
        let page = PageRequest::new(most, "");
        let list = self.contracts.list(scope, doc! { "body.due_at": due }, Sort::By("body.due_at"), &page);
        Ok(list.await?.items)
    }

    /// The companies in whose books something was due by then.
    pub async fn due_scopes(&self, by: Timestamp) -> store::Result<Vec<Scope>> {
        self.contracts.across().scopes(doc! { "body.due_at": { "$lte": store::time::to_bson(by) } }).await
    }

    /// The companies of which there is something to tell.
    pub async fn untold_scopes(&self) -> store::Result<Vec<Scope>> {
        self.news.across().scopes(Document::new()).await
    }

    /// Some of what is to be told.
    pub async fn untold(&self, scope: &Scope) -> store::Result<Vec<Stored<News>>> {
        Ok(self.news.list(scope, Document::new(), Sort::Oldest, &PageRequest::new(SOME, "")).await?.items)
    }

    /// It was told.
    pub async fn forget(&self, scope: &Scope, ids: &[String]) -> store::Result<()> {
        self.news.remove_many(scope, doc! { "_id": { "$in": ids } }).await.map(|_| ())
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

/// A change with its news.
struct Writing {
    books: Books,
    read: Stored<Contract>,
    body: Contract,
    news: Vec<News>,
    events: Vec<Outgoing>,
}

impl Writing {
    /// Boxed, as the compiler cannot see through an async closure that such a future may move between threads.
    fn run(self: Arc<Self>, tx: &mut Transaction) -> BoxFuture<'_, store::Result<Stored<Contract>>> {
        Box::pin(async move {
            let Self { books, read, body, news, events } = &*self;
            for one in news {
                // With the version that led there: a row that is written anew may live through the same once more.
                let id = id_of(&read.scope, "news", &format!("{}:{}", one.id, read.version));
                books.news.insert_in(tx, &read.scope, id, one.clone(), Vec::new()).await?;
            }
            books.contracts.replace_in(tx, read, body.clone(), events.clone()).await
        })
    }
}

/// What changed at or after an instant.
pub fn changed_since(at: Option<Timestamp>) -> Document {
    at.map_or_else(Document::new, |at| doc! { "updated_at": { "$gte": store::time::to_bson(at) } })
}
