//! The collections of personas, categories, and what refreshes did.

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Category, Persona, Refresh, Standing, Status};
use crate::error::Error;

/// The most personas that are active at once, and categories there are.
const MOST: u32 = 200;

impl Record for Persona {
    const COLLECTION: &'static str = "personas";
    const NOUN: &'static str = "persona";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.priority", "_id"]),
            Index::on(&["body.status", "body.priority", "_id"]),
            Index::on(&["body.category"]),
        ]
    }
}

impl Record for Category {
    const COLLECTION: &'static str = "persona_categories";
    const NOUN: &'static str = "persona category";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.order", "_id"]), Index::on(&["body.parent"])]
    }
}

impl Record for Standing {
    const COLLECTION: &'static str = "persona_standings";
    const NOUN: &'static str = "persona";
}

impl Record for Refresh {
    const COLLECTION: &'static str = "persona_refreshes";
    const NOUN: &'static str = "refresh";
}

#[derive(Clone)]
pub struct PersonaStore {
    pub(super) personas: Repo<Persona>,
    pub(super) categories: Repo<Category>,
    standings: Repo<Standing>,
    refreshes: Repo<Refresh>,
}

impl PersonaStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, Error> {
        Ok(Self {
            personas: Repo::open(db, clock.clone()).await?,
            categories: Repo::open(db, clock.clone()).await?,
            standings: Repo::open(db, clock.clone()).await?,
            refreshes: Repo::open(db, clock).await?,
        })
    }

    pub async fn list(
        &self,
        scope: &Scope,
        status: Option<Status>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Persona>>, Error> {
        let filter = status.map_or_else(bson::Document::new, |s| doc! { "body.status": s.as_str() });
        Ok(self.personas.list(scope, filter, Sort::By("body.priority"), page).await?)
    }

    pub async fn active(&self, scope: &Scope) -> Result<Vec<Stored<Persona>>, Error> {
        Ok(self.list(scope, Some(Status::Active), &PageRequest::new(MOST, "")).await?.items)
    }

    /// Every company and mode with an active persona.
    pub async fn scopes(&self) -> Result<Vec<Scope>, Error> {
        let active = self.personas.across().list(doc! { "body.status": "active" }, 10_000).await?;
        let scopes: std::collections::BTreeSet<_> = active.into_iter().map(|p| p.scope).collect();
        Ok(scopes.into_iter().collect())
    }

    pub async fn all(&self, scope: &Scope) -> Result<Vec<Stored<Persona>>, Error> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.list(scope, None, &PageRequest::new(MOST, cursor)).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(all),
            }
        }
    }

    /// The priority after the last one.
    pub async fn next_priority(&self, scope: &Scope) -> Result<i32, Error> {
        Ok(self.all(scope).await?.last().map_or(1, |p| p.body.priority.saturating_add(1)))
    }

    pub async fn in_category(&self, scope: &Scope, category: &str) -> Result<bool, Error> {
        Ok(self.personas.find(scope, doc! { "body.category": category }).await?.is_some())
    }

    pub async fn categories(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<Page<Stored<Category>>, Error> {
        Ok(self.categories.list(scope, doc! { "body.archived": false }, Sort::By("body.order"), page).await?)
    }

    pub async fn has_children(&self, scope: &Scope, category: &str) -> Result<bool, Error> {
        Ok(self
            .categories
            .find(scope, doc! { "body.parent": category, "body.archived": false })
            .await?
            .is_some())
    }

    pub async fn standings(
        &self,
        scope: &Scope,
        personas: &[String],
    ) -> Result<std::collections::HashMap<String, Standing>, Error> {
        let found = self.standings.get_many(scope, personas).await?;
        Ok(found.into_iter().map(|s| (s.id, s.body)).collect())
    }

    pub async fn set_standing(&self, scope: &Scope, persona: &str, standing: Standing) -> Result<(), Error> {
        self.standings.upsert(scope, persona.to_owned(), standing, Vec::new()).await?;
        Ok(())
    }

    /// Keeps how a refresh ended. One that ran twice is kept once.
    pub async fn ended(
        &self,
        scope: &Scope,
        job: &str,
        refresh: Refresh,
        events: Vec<Outgoing>,
    ) -> Result<(), Error> {
        match self.refreshes.insert(scope, job.to_owned(), refresh, events).await {
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    pub async fn has_ended(&self, scope: &Scope, job: &str) -> Result<bool, Error> {
        Ok(self.refreshes.find(scope, doc! { "_id": job }).await?.is_some())
    }
}
