//! Making personas, letting them count, and asking who is in them.

use kit::{Caller, Page, PageRequest, Scope, SharedClock};
use store::Stored;

use super::board::Boards;
use super::category::Categories;
use super::model::{Change, Persona, Standing, Status};
use super::store::PersonaStore;
use crate::error::Error;
use crate::events::audited;
use crate::facts::{Customer, Customers};
use crate::rules::{self, Rule};
use crate::work::Work;

/// A persona and how it stood at the last refresh.
pub type WithStanding = (Stored<Persona>, Standing);

/// What a rule would take.
pub struct Preview {
    pub size: u64,
    pub of: u64,
    /// Customer, external id and why.
    pub sample: Vec<(String, String, String)>,
    /// Persona, its name, and how many of the customers are in it.
    pub overlap: Vec<(String, String, u64)>,
}

#[derive(Clone)]
pub struct Personas {
    store: PersonaStore,
    boards: Boards,
    categories: Categories,
    customers: Customers,
    work: Work,
    clock: SharedClock,
}

impl Personas {
    pub fn new(
        store: PersonaStore,
        boards: Boards,
        categories: Categories,
        customers: Customers,
        work: Work,
        clock: SharedClock,
    ) -> Self {
        Self { store, boards, categories, customers, work, clock }
    }

    pub async fn list(
        &self,
        scope: &Scope,
        status: Option<Status>,
        page: &PageRequest,
    ) -> Result<Page<WithStanding>, Error> {
        let Page { items, next_cursor } = self.store.list(scope, status, page).await?;
        Ok(Page { items: self.with_standings(scope, items).await?, next_cursor })
    }

    async fn with_standings(
        &self,
        scope: &Scope,
        personas: Vec<Stored<Persona>>,
    ) -> Result<Vec<WithStanding>, Error> {
        let ids: Vec<_> = personas.iter().map(|p| p.id.clone()).collect();
        let mut standings = self.store.standings(scope, &ids).await?;
        Ok(personas
            .into_iter()
            .map(|p| {
                let standing = standings.remove(&p.id).unwrap_or_default();
                (p, standing)
            })
            .collect())
    }

    async fn one(&self, scope: &Scope, persona: Stored<Persona>) -> Result<WithStanding, Error> {
        let mut one = self.with_standings(scope, vec![persona]).await?;
        one.pop().ok_or_else(|| Error::not_found("persona"))
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<WithStanding, Error> {
        let persona = self.store.personas.get(scope, id).await?;
        self.one(scope, persona).await
    }

    pub async fn create(&self, caller: &Caller, mut persona: Persona) -> Result<WithStanding, Error> {
        let scope = caller.scope()?;
        persona.rule.check().map_err(Error::rule)?;
        if let Some(category) = &persona.category {
            self.categories.get(scope, category, "category_id").await?;
        }
        persona.priority = self.store.next_priority(scope).await?;
        let id = kit::id::new("per");
        let events = vec![audited(caller, scope, self.clock.now(), "persona", &id, "create")];
        let stored = self.store.personas.insert(scope, id, persona, events).await?;
        Ok((stored, Standing::default()))
    }

    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        change: Change,
    ) -> Result<WithStanding, Error> {
        let scope = caller.scope()?;
        let read = self.store.personas.get(scope, id).await?;
        if read.version != version {
            return Err(store::Error::Stale("persona").into());
        }
        if let Some(category) = change.category.as_ref().filter(|c| !c.is_empty()) {
            self.categories.get(scope, category, "category_id").await?;
        }
        let mut persona = read.body.clone();
        persona.apply(change)?;
        let events = vec![audited(caller, scope, self.clock.now(), "persona", id, "update")];
        let stored = self.store.personas.replace(&read, persona, events).await?;
        self.boards.forget(scope).await;
        self.one(scope, stored).await
    }

    /// Moves a persona to another state; one that begins or ceases to count starts a refresh.
    pub async fn enter(&self, caller: &Caller, id: &str, status: Status) -> Result<WithStanding, Error> {
        let scope = caller.scope()?;
        let read = self.store.personas.get(scope, id).await?;
        let mut persona = read.body.clone();
        if !persona.enter(status)? {
            return self.one(scope, read).await;
        }
        let act = match status {
            Status::Active => "activate",
            Status::Disabled => "disable",
            Status::Archived | Status::Draft => "archive",
        };
        let counted = read.body.status == Status::Active || status == Status::Active;
        let events = vec![audited(caller, scope, self.clock.now(), "persona", id, act)];
        let stored = self.store.personas.replace(&read, persona, events).await?;
        self.boards.forget(scope).await;
        if counted {
            self.work.refresh(scope).await?;
        }
        self.one(scope, stored).await
    }

    /// The ids given come first, in this order; the others follow as they were.
    pub async fn order(&self, caller: &Caller, ids: &[String]) -> Result<Page<WithStanding>, Error> {
        let scope = caller.scope()?;
        let all = self.store.all(scope).await?;
        for (i, id) in ids.iter().enumerate() {
            if !all.iter().any(|p| p.id == *id) {
                return Err(Error::field(format!("ids[{i}]"), "unknown", "there is no such persona"));
            }
        }
        let place = |id: &str| ids.iter().position(|i| i == id).unwrap_or(ids.len());
        let mut sorted: Vec<_> = all.iter().collect();
        sorted.sort_by_key(|p| place(&p.id));
        for (priority, read) in (1..).zip(sorted) {
            if read.body.priority != priority {
                let persona = Persona { priority, ..read.body.clone() };
                let events = vec![audited(caller, scope, self.clock.now(), "persona", &read.id, "order")];
                self.store.personas.replace(read, persona, events).await?;
            }
        }
        self.boards.forget(scope).await;
        self.work.refresh(scope).await?;
        self.list(scope, None, &PageRequest::new(kit::page::MAX_LIMIT, "")).await
    }

    /// Starts a full refresh; the id of its job.
    pub async fn refresh(&self, caller: &Caller) -> Result<String, Error> {
        self.work.refresh(caller.scope()?).await
    }

    /// What a rule would take, without changing anything.
    pub async fn preview(&self, scope: &Scope, rule: &Rule) -> Result<Preview, Error> {
        rule.check().map_err(Error::rule)?;
        let (size, customers, overlap) = self.customers.preview(scope, rule).await?;
        let sample = customers.into_iter().map(|c| {
            let why = rules::explain(rule, &c.body.facts, &c.body.events).unwrap_or_default();
            (c.id, c.body.external_id, why)
        });
        let board = self.boards.active(scope).await?;
        let named = overlap.into_iter().map(|(id, n)| {
            let name = board.get(&id).map_or_else(String::new, |s| s.name.clone());
            (id, name, n)
        });
        let of = self.customers.count(scope).await?;
        Ok(Preview { size, of, sample: sample.collect(), overlap: named.collect() })
    }

    pub async fn members(
        &self,
        scope: &Scope,
        id: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<Customer>>, Error> {
        self.store.personas.get(scope, id).await?;
        self.customers.members(scope, id, page).await
    }

    /// A customer's personas as of now, and those of the past.
    pub async fn of_customer(
        &self,
        scope: &Scope,
        reference: &str,
    ) -> Result<(Stored<Customer>, Vec<Stored<Persona>>), Error> {
        self.customers.see(scope, reference).await?;
        let customer = self.customers.get(scope, reference).await?;
        let mut ids: Vec<_> = customer.body.personas.iter().map(|m| m.persona.clone()).collect();
        ids.extend(customer.body.past.iter().map(|m| m.persona.clone()));
        let personas = self.store.personas.get_many(scope, &ids).await?;
        Ok((customer, personas))
    }
}
