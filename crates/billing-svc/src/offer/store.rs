//! The queries of offers, of what is taken of them, and of what customers hold.

use bson::doc;
use kit::{Money, Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::ledger::{Ledger, Use, month};
use super::model::{Limits, Offer, State};
use super::terms::Kind;

impl Record for Offer {
    const COLLECTION: &'static str = "offers";
    const NOUN: &'static str = "offer";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.state", "_id"]), Index::on(&["body.kind", "_id"])]
    }
}

/// One per offer, with the offer's id.
impl Record for Use {
    const COLLECTION: &'static str = "offer_uses";
    const NOUN: &'static str = "offer";

    fn indexes() -> Vec<Index> {
        Vec::new()
    }
}

/// One per customer, with the customer's id.
impl Record for Ledger {
    const COLLECTION: &'static str = "customer_ledgers";
    const NOUN: &'static str = "customer";

    fn indexes() -> Vec<Index> {
        Vec::new()
    }
}

/// Which offers a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub kind: Option<Kind>,
}

#[derive(Clone)]
pub struct OfferStore {
    offers: Repo<Offer>,
    uses: Repo<Use>,
    ledgers: Repo<Ledger>,
}

impl OfferStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self {
            offers: Repo::open(db, clock.clone()).await?,
            uses: Repo::open(db, clock.clone()).await?,
            ledgers: Repo::open(db, clock).await?,
        })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Offer>, store::Error> {
        self.offers.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Offer>>, store::Error> {
        let mut query = doc! {};
        if let Some(state) = filter.state {
            query.insert("body.state", state.as_str());
        }
        if let Some(kind) = filter.kind {
            query.insert("body.kind", kind.as_str());
        }
        self.offers.list(scope, query, Sort::Newest, page).await
    }

    /// Those of these ids that exist.
    pub async fn these(&self, scope: &Scope, ids: &[String]) -> Result<Vec<Stored<Offer>>, store::Error> {
        self.offers.get_many(scope, ids).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        offer: Offer,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Offer>, store::Error> {
        // The counter first: an offer without one could not be claimed, a counter without an offer harms nobody.
        self.uses.insert(scope, id.clone(), Use::default(), Vec::new()).await?;
        self.offers.insert(scope, id, offer, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Offer>,
        offer: Offer,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Offer>, store::Error> {
        self.offers.replace(read, offer, events).await
    }

    /// Freezes the terms of an offer that is given for the first time in this form.
    pub async fn freeze(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: &str,
        hash: &str,
    ) -> Result<(), store::Error> {
        let guard = doc! { "body.terms_hash": hash, "body.frozen": false };
        let update = doc! { "$set": { "body.frozen": true } };
        self.offers.update_in(tx, scope, id, guard, update, Vec::new()).await.map(|_| ())
    }

    pub async fn used(&self, scope: &Scope, id: &str) -> Result<Use, store::Error> {
        Ok(self.uses.find(scope, doc! { "_id": id }).await?.map(|s| s.body).unwrap_or_default())
    }

    pub async fn used_of(&self, scope: &Scope, ids: &[String]) -> Result<Vec<Stored<Use>>, store::Error> {
        self.uses.get_many(scope, ids).await
    }

    /// Takes one claim of this cost, if the limits leave room for it. One conditional write: of any number of claims
    /// at once only those that fit pass.
    pub async fn take(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: &str,
        limits: &Limits,
        cost: Money,
        now: Timestamp,
    ) -> Result<bool, store::Error> {
        let spent = format!("body.spent.{}", month(now));
        let mut all = Vec::new();
        if limits.total > 0 {
            all.push(doc! { "body.claimed": { "$lt": i64::from(limits.total) } });
        }
        if let Some(budget) = limits.monthly_budget {
            let room = budget.minor.saturating_sub(cost.minor);
            if room < 0 {
                return Ok(false);
            }
            // A month nobody claimed in yet has no field.
            let first = doc! { spent.as_str(): { "$exists": false } };
            all.push(doc! { "$or": [ { spent.as_str(): { "$lte": room } }, first ] });
        }
        let guard = if all.is_empty() {
            doc! {}
        } else {
            doc! { "$and": all }
        };
        let mut change = doc! { "body.claimed": 1_i64 };
        if limits.monthly_budget.is_some() {
            change.insert(spent, cost.minor);
        }
        let taken = self.uses.update_in(tx, scope, id, guard, doc! { "$inc": change }, Vec::new()).await?;
        Ok(taken.is_some())
    }

    /// Gives one claim back.
    pub async fn give_back(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: &str,
        spent: Option<(&str, i64)>,
    ) -> Result<(), store::Error> {
        let mut change = doc! { "body.claimed": -1_i64 };
        if let Some((month, minor)) = spent {
            change.insert(format!("body.spent.{month}"), -minor);
        }
        self.uses.update_in(tx, scope, id, doc! {}, doc! { "$inc": change }, Vec::new()).await.map(|_| ())
    }

    /// What a customer holds; an empty one where nothing was ever given.
    pub async fn ledger(
        &self,
        scope: &Scope,
        customer_id: &str,
    ) -> Result<Option<Stored<Ledger>>, store::Error> {
        self.ledgers.find(scope, doc! { "_id": customer_id }).await
    }

    pub async fn ledgers(
        &self,
        scope: &Scope,
        customers: &[String],
    ) -> Result<Vec<Stored<Ledger>>, store::Error> {
        self.ledgers.get_many(scope, customers).await
    }

    /// One customer's, made where it is missing, so that a claim can be conditional on it.
    pub async fn own_ledger(&self, scope: &Scope, customer_id: &str) -> Result<Stored<Ledger>, store::Error> {
        if let Some(found) = self.ledger(scope, customer_id).await? {
            return Ok(found);
        }
        match self.ledgers.insert(scope, customer_id.to_owned(), Ledger::default(), Vec::new()).await {
            Err(store::Error::Duplicate(_)) => self.ledgers.get(scope, customer_id).await,
            other => other,
        }
    }

    /// Says in a ledger that is there whether anything may be offered.
    pub async fn withhold(
        &self,
        scope: &Scope,
        customer_id: &str,
        withheld: bool,
    ) -> Result<(), store::Error> {
        let update = doc! { "$set": { "body.withheld": withheld } };
        self.ledgers.update(scope, customer_id, doc! {}, update, Vec::new()).await.map(|_| ())
    }

    pub async fn replace_ledger(
        &self,
        tx: &mut Transaction,
        read: &Stored<Ledger>,
        ledger: Ledger,
    ) -> Result<(), store::Error> {
        self.ledgers.replace_in(tx, read, ledger, Vec::new()).await.map(|_| ())
    }
}
