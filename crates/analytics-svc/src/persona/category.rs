//! The tree personas are sorted into: at most three deep.

use kit::{Caller, Page, PageRequest, Scope, SharedClock};
use store::Stored;

use super::board::Boards;
use super::model::Category;
use super::store::PersonaStore;
use crate::error::Error;
use crate::events::audited;

const DEEPEST: usize = 3;

#[derive(Clone)]
pub struct Categories {
    store: PersonaStore,
    boards: Boards,
    clock: SharedClock,
}

impl Categories {
    pub fn new(store: PersonaStore, boards: Boards, clock: SharedClock) -> Self {
        Self { store, boards, clock }
    }

    pub async fn list(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Stored<Category>>, Error> {
        self.store.categories(scope, page).await
    }

    pub async fn create(&self, caller: &Caller, category: Category) -> Result<Stored<Category>, Error> {
        let scope = caller.scope()?;
        let mut depth = 1;
        let mut parent = category.parent.clone();
        while let Some(id) = parent {
            depth += 1;
            if depth > DEEPEST {
                return Err(Error::field("parent_id", "too_deep", "categories are at most 3 deep"));
            }
            parent = self.get(scope, &id, "parent_id").await?.body.parent;
        }
        let id = kit::id::new("pct");
        let events = vec![audited(caller, scope, self.clock.now(), "persona_category", &id, "create")];
        Ok(self.store.categories.insert(scope, id, category, events).await?)
    }

    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        change: impl FnOnce(&mut Category),
    ) -> Result<Stored<Category>, Error> {
        let scope = caller.scope()?;
        let read = self.there(scope, id).await?;
        if read.version != version {
            return Err(store::Error::Stale("persona category").into());
        }
        let mut category = read.body.clone();
        change(&mut category);
        let events = vec![audited(caller, scope, self.clock.now(), "persona_category", id, "update")];
        let stored = self.store.categories.replace(&read, category, events).await?;
        self.boards.forget(scope).await;
        Ok(stored)
    }

    pub async fn delete(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let scope = caller.scope()?;
        let read = self.there(scope, id).await?;
        if self.store.in_category(scope, id).await? || self.store.has_children(scope, id).await? {
            return Err(Error::CategoryInUse);
        }
        let events = vec![audited(caller, scope, self.clock.now(), "persona_category", id, "delete")];
        let gone = Category { archived: true, ..read.body.clone() };
        self.store.categories.replace(&read, gone, events).await?;
        self.boards.forget(scope).await;
        Ok(())
    }

    async fn there(&self, scope: &Scope, id: &str) -> Result<Stored<Category>, Error> {
        let read = self.store.categories.get(scope, id).await?;
        if read.body.archived { Err(Error::not_found("persona category")) } else { Ok(read) }
    }

    /// A category that another record names in `field`.
    pub async fn get(&self, scope: &Scope, id: &str, field: &str) -> Result<Stored<Category>, Error> {
        match self.store.categories.get(scope, id).await {
            Err(store::Error::NotFound(_)) => {
                Err(Error::field(field, "unknown", "there is no such category"))
            }
            Ok(found) if found.body.archived => {
                Err(Error::field(field, "unknown", "there is no such category"))
            }
            other => Ok(other?),
        }
    }
}
