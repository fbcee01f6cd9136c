//! The queries of companies. A company belongs to the installation, not to itself: operators list them all.

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Company, Status};

impl Record for Company {
    const COLLECTION: &'static str = "companies";
    const NOUN: &'static str = "company";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.slug"]).unique(),
            Index::on(&["body.public_key"]).unique(),
            Index::on(&["body.status", "_id"]),
            Index::on(&["body.widget_origins"]),
        ]
    }
}

#[derive(Clone)]
pub struct CompanyStore {
    companies: Repo<Company>,
}

impl CompanyStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { companies: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, id: &str) -> Result<Stored<Company>, store::Error> {
        self.companies.get(&Scope::platform(), id).await
    }

    pub async fn get_many(&self, ids: &[String]) -> Result<Vec<Stored<Company>>, store::Error> {
        self.companies.get_many(&Scope::platform(), ids).await
    }

    /// By id, slug or public key.
    pub async fn by_any(&self, key: &str) -> Result<Option<Stored<Company>>, store::Error> {
        let filter = doc! { "$or": [{ "_id": key }, { "body.slug": key }, { "body.public_key": key }] };
        self.companies.find(&Scope::platform(), filter).await
    }

    /// The companies that allow their widget in pages of an origin.
    pub async fn embedded_at(&self, origin: &str) -> Result<Vec<String>, store::Error> {
        let page = PageRequest::new(100, "");
        let allowing = doc! { "body.widget_origins": origin };
        let found = self.companies.list(&Scope::platform(), allowing, Sort::Oldest, &page).await?;
        Ok(found.items.into_iter().map(|c| c.id).collect())
    }

    /// Newest first; `only` restricts to these ids.
    pub async fn list(
        &self,
        only: Option<&[String]>,
        status: Option<Status>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Company>>, store::Error> {
        let mut filter = Document::new();
        if let Some(ids) = only {
            filter.insert("_id", doc! { "$in": ids });
        }
        if let Some(status) = status {
            filter.insert("body.status", status.as_str());
        }
        self.companies.list(&Scope::platform(), filter, Sort::Newest, page).await
    }

    /// Some whose time of grace is over.
    pub async fn due_to_close(&self, now: Timestamp) -> Result<Vec<Stored<Company>>, store::Error> {
        let due = doc! { "body.status": "closing", "body.closes_at": { "$lte": store::time::to_bson(now) } };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.companies.list(&Scope::platform(), due, Sort::Oldest, &page).await?.items)
    }

    pub async fn insert(
        &self,
        id: String,
        company: Company,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Company>, store::Error> {
        self.companies.insert(&Scope::platform(), id, company, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Company>,
        company: Company,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Company>, store::Error> {
        self.companies.replace(read, company, events).await
    }

    /// Says that an admin may be leaving; fails when another one did since `seen`.
    pub async fn bump_admins(&self, tx: &mut Transaction, id: &str, seen: i64) -> Result<(), store::Error> {
        let update = doc! { "$inc": { "body.admins_epoch": 1_i64 } };
        let guard = doc! { "body.admins_epoch": seen };
        let done = self.companies.update_in(tx, &Scope::platform(), id, guard, update, Vec::new()).await?;
        done.map(|_| ()).ok_or(store::Error::Busy)
    }

    /// Says whether single sign-on is required; events with it, as every door must hear.
    pub async fn require_sso(
        &self,
        tx: &mut Transaction,
        id: &str,
        required: bool,
        events: Vec<Outgoing>,
    ) -> Result<(), store::Error> {
        let update = doc! { "$set": { "body.sso_required": required } };
        let done = self.companies.update_in(tx, &Scope::platform(), id, doc! {}, update, events).await?;
        done.map(|_| ()).ok_or(store::Error::NotFound("company"))
    }

    /// `pending → active`, when it is pending.
    pub async fn activate(
        &self,
        tx: &mut Transaction,
        id: &str,
        events: Vec<Outgoing>,
    ) -> Result<bool, store::Error> {
        let update = doc! { "$set": { "body.status": "active" } };
        let guard = doc! { "body.status": "pending" };
        Ok(self.companies.update_in(tx, &Scope::platform(), id, guard, update, events).await?.is_some())
    }
}
