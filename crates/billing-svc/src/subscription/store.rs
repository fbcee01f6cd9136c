//! The queries of the subscription mirror.

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{State, Subscription};
use crate::providers::ProviderKind;

impl Record for Subscription {
    const COLLECTION: &'static str = "subscriptions";
    const NOUN: &'static str = "subscription";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.provider", "body.external_id"]).unique(),
            Index::on(&["body.customer_id", "_id"]),
            Index::on(&["body.state", "_id"]),
            Index::global(&["body.synced_at"]),
        ]
    }
}

/// Which subscriptions a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub customer_id: Option<String>,
}

#[derive(Clone)]
pub struct SubscriptionStore {
    repo: Repo<Subscription>,
}

impl SubscriptionStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Subscription>, store::Error> {
        self.repo.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Subscription>>, store::Error> {
        let mut query = doc! {};
        if let Some(state) = filter.state {
            query.insert("body.state", state.as_str());
        }
        if let Some(customer) = &filter.customer_id {
            query.insert("body.customer_id", customer);
        }
        self.repo.list(scope, query, Sort::Newest, page).await
    }

    pub async fn by_external(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        external_id: &str,
    ) -> Result<Option<Stored<Subscription>>, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.external_id": external_id };
        self.repo.find(scope, query).await
    }

    /// The one the provider knows by this id, whichever provider it is.
    pub async fn by_any_external(
        &self,
        scope: &Scope,
        external_id: &str,
    ) -> Result<Option<Stored<Subscription>>, store::Error> {
        for provider in ProviderKind::ALL {
            if let Some(found) = self.by_external(scope, provider, external_id).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// All of a customer's, newest first; nobody has more than a page.
    pub async fn of_customer(
        &self,
        scope: &Scope,
        customer_id: &str,
    ) -> Result<Vec<Stored<Subscription>>, store::Error> {
        let filter = Filter { state: None, customer_id: Some(customer_id.to_owned()) };
        Ok(self.list(scope, &filter, &PageRequest::new(200, "")).await?.items)
    }

    /// Those that a provider knows by these ids.
    pub async fn by_externals(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        ids: &[&str],
    ) -> Result<Vec<Stored<Subscription>>, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.external_id": { "$in": ids } };
        self.all(scope, query).await
    }

    /// Everything these customers have.
    pub async fn of_customers(
        &self,
        scope: &Scope,
        ids: &[String],
    ) -> Result<Vec<Stored<Subscription>>, store::Error> {
        self.all(scope, doc! { "body.customer_id": { "$in": ids } }).await
    }

    async fn all(
        &self,
        scope: &Scope,
        query: bson::Document,
    ) -> Result<Vec<Stored<Subscription>>, store::Error> {
        let mut found = Vec::new();
        let mut page = PageRequest::new(kit::page::MAX_LIMIT, "");
        loop {
            let part = self.repo.list(scope, query.clone(), Sort::Newest, &page).await?;
            found.extend(part.items);
            match part.next_cursor {
                Some(next) => page = PageRequest::new(kit::page::MAX_LIMIT, next),
                None => return Ok(found),
            }
        }
    }

    pub async fn insert_many(
        &self,
        scope: &Scope,
        records: Vec<(String, Subscription, Vec<Outgoing>)>,
    ) -> Result<Vec<Result<(), store::Error>>, store::Error> {
        self.repo.insert_many(scope, records).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: Subscription,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Subscription>, store::Error> {
        self.repo.insert(scope, id, body, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Subscription>,
        body: Subscription,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Subscription>, store::Error> {
        self.repo.replace(read, body, events).await
    }

    /// Notes that these were seen, where nothing newer than `since` says so.
    pub async fn heard_of(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        ids: &[&str],
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let query = doc! {
            "body.provider": provider.as_str(),
            "body.external_id": { "$in": ids },
            "body.synced_at": { "$lt": store::time::to_bson(since) },
        };
        let set = doc! { "$set": { "body.synced_at": store::time::to_bson(now) } };
        self.repo.update_many(scope, query, set).await.map(|_| ())
    }

    /// Some that run and were not seen since then.
    pub async fn unseen(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<Stored<Subscription>>, store::Error> {
        let query = doc! {
            "body.provider": provider.as_str(),
            "body.synced_at": { "$lt": store::time::to_bson(since) },
            "body.state": { "$nin": [State::Ended.as_str(), State::Unknown.as_str()] },
        };
        Ok(self.repo.list(scope, query, Sort::Oldest, &PageRequest::new(most, "")).await?.items)
    }

    /// The same inside a transaction.
    pub async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Subscription>,
        body: Subscription,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Subscription>, store::Error> {
        self.repo.replace_in(tx, read, body, events).await
    }

    /// Those nobody heard of since `before`, over all companies, oldest first.
    pub async fn silent_since(&self, before: Timestamp) -> Result<Vec<Stored<Subscription>>, store::Error> {
        let query = doc! {
            "body.synced_at": { "$lt": store::time::to_bson(before) },
            "body.state": { "$nin": [State::Ended.as_str(), State::Unknown.as_str()] },
        };
        self.repo.across().list(query, 100).await
    }
}
