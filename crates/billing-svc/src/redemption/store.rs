//! The queries of redemptions.

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Redemption, State};

impl Record for Redemption {
    const COLLECTION: &'static str = "redemptions";
    const NOUN: &'static str = "redemption";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.flow_session_id", "body.offer_id"]).unique(),
            Index::on(&["body.offer_id", "body.state", "_id"]),
            Index::on(&["body.offer_id", "_id"]),
            Index::on(&["body.customer_id", "_id"]),
            Index::on(&["body.subscription_id", "body.state", "_id"]),
            Index::global(&["body.state", "updated_at"]),
            Index::global(&["body.state", "body.effect_ends_at"]),
            Index::on(&["body.state", "body.effect_ends_at"]),
        ]
    }
}

#[derive(Clone)]
pub struct RedemptionStore {
    repo: Repo<Redemption>,
    db: Database,
}

impl RedemptionStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { repo: Repo::open(db, clock).await?, db: db.clone() })
    }

    /// The database, for the transaction a claim and a reversal need.
    pub fn db(&self) -> &Database {
        &self.db
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Redemption>, store::Error> {
        self.repo.get(scope, id).await
    }

    pub async fn of_session(
        &self,
        scope: &Scope,
        flow_session_id: &str,
        offer_id: &str,
    ) -> Result<Option<Stored<Redemption>>, store::Error> {
        let query = doc! { "body.flow_session_id": flow_session_id, "body.offer_id": offer_id };
        self.repo.find(scope, query).await
    }

    /// What of a session is still open.
    pub async fn open_in_session(
        &self,
        scope: &Scope,
        flow_session_id: &str,
    ) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let query = doc! { "body.flow_session_id": flow_session_id, "body.state": State::Presented.as_str() };
        Ok(self.repo.list(scope, query, Sort::Newest, &PageRequest::new(200, "")).await?.items)
    }

    /// What of customers is still open; nobody is shown more than a page at once.
    pub async fn open_of(
        &self,
        scope: &Scope,
        customers: &[String],
    ) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let query =
            doc! { "body.customer_id": { "$in": customers }, "body.state": State::Presented.as_str() };
        Ok(self.repo.list(scope, query, Sort::Newest, &PageRequest::new(200, "")).await?.items)
    }

    pub async fn of_offer(
        &self,
        scope: &Scope,
        offer_id: &str,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Redemption>>, store::Error> {
        let mut query = doc! { "body.offer_id": offer_id };
        if let Some(state) = state {
            query.insert("body.state", state.as_str());
        }
        self.repo.list(scope, query, Sort::Newest, page).await
    }

    /// The others of its subscription that are under way or stand.
    pub async fn of_subscription(
        &self,
        r: &Stored<Redemption>,
    ) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let states = State::ALL.into_iter().filter(|s| s.is_under_way() || *s == State::Verified);
        let query = doc! {
            "body.subscription_id": &r.body.subscription_id,
            "body.state": { "$in": states.map(State::as_str).collect::<Vec<_>>() },
            "_id": { "$ne": &r.id },
        };
        // Nobody holds more than a page.
        Ok(self.repo.list(&r.scope, query, Sort::Newest, &PageRequest::new(200, "")).await?.items)
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: Redemption,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Redemption>, store::Error> {
        self.repo.insert(scope, id, body, events).await
    }

    /// Conditional on the version that was read: of two who go on with a redemption, one is refused.
    pub async fn replace(
        &self,
        read: &Stored<Redemption>,
        body: Redemption,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Redemption>, store::Error> {
        self.repo.replace(read, body, events).await
    }

    /// The same inside a transaction.
    pub async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Redemption>,
        body: Redemption,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Redemption>, store::Error> {
        self.repo.replace_in(tx, read, body, events).await
    }

    /// The ids of everything a customer was shown.
    pub async fn ids_of(&self, scope: &Scope, customer: &str) -> Result<Vec<String>, store::Error> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = PageRequest::new(kit::page::MAX_LIMIT, cursor);
            let query = doc! { "body.customer_id": customer };
            let part = self.repo.list(scope, query, Sort::Oldest, &page).await?;
            ids.extend(part.items.into_iter().map(|r| r.id));
            match part.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(ids),
            }
        }
    }

    /// Gives these redemptions of one customer to another.
    pub async fn move_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        (from, to): (&str, &str),
        ids: &[String],
    ) -> Result<(), store::Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let filter = doc! { "_id": { "$in": ids }, "body.customer_id": from };
        let update = doc! { "$set": { "body.customer_id": to } };
        self.repo.update_many_in(tx, scope, filter, update).await.map(|_| ())
    }

    /// The same for whatever one customer still has.
    pub async fn move_rest(&self, scope: &Scope, from: &str, to: &str) -> Result<(), store::Error> {
        let update = doc! { "$set": { "body.customer_id": to } };
        self.repo.update_many(scope, doc! { "body.customer_id": from }, update).await.map(|_| ())
    }

    /// Some of those under way that nobody touched since `before`, over all companies: the next ones after this id.
    pub async fn stuck_since(
        &self,
        before: Timestamp,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let states = State::ALL.into_iter().filter(|s| s.is_under_way()).map(State::as_str);
        let query = doc! {
            "_id": { "$gt": after },
            "body.state": { "$in": states.collect::<Vec<_>>() },
            "updated_at": { "$lt": store::time::to_bson(before) },
        };
        self.repo.across().next(query, limit).await
    }

    /// Verified ones whose effect is over, over all companies.
    pub async fn over_by(&self, now: Timestamp) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let query = doc! {
            "body.state": State::Verified.as_str(),
            "body.effect_ends_at": { "$lt": store::time::to_bson(now) },
        };
        self.repo.across().list(query, 200).await
    }

    /// The same in one company, whose clock is ahead.
    pub async fn over_in(
        &self,
        scope: &Scope,
        now: Timestamp,
    ) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let ends = doc! { "$lt": store::time::to_bson(now) };
        self.by_end(scope, ends, 200).await
    }

    /// When the next effect of a company's ends after this.
    pub async fn next_end(&self, scope: &Scope, after: Timestamp) -> Result<Option<Timestamp>, store::Error> {
        let ends = doc! { "$gte": store::time::to_bson(after) };
        let first = self.by_end(scope, ends, 1).await?;
        Ok(first.into_iter().next().and_then(|r| r.body.effect_ends_at))
    }

    async fn by_end(
        &self,
        scope: &Scope,
        ends: bson::Document,
        most: u32,
    ) -> Result<Vec<Stored<Redemption>>, store::Error> {
        let query = doc! { "body.state": State::Verified.as_str(), "body.effect_ends_at": ends };
        let page = PageRequest::new(most, "");
        Ok(self.repo.list(scope, query, Sort::By("body.effect_ends_at"), &page).await?.items)
    }
}
