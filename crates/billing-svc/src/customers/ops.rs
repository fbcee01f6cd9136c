//! What is done with customers.

use std::collections::BTreeMap;

use kit::{Caller, Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use serde_json::{Value, json};
use store::Stored;

use super::erasure::still_there;
use super::model::{Customer, Definition, Said, Source, attribute_faults};
use super::store::{CustomerStore, Filter};
use crate::error::{Error, Result};
use crate::events::{Stamp, to_wire};
use crate::providers::{CustomerSnapshot, ProviderKind};
use crate::subscription::Subscription;

/// The use cases of customers.
#[derive(Clone)]
pub struct Customers {
    pub(super) store: CustomerStore,
    pub(super) clock: SharedClock,
}

/// Attribute definitions by key.
pub type Definitions = BTreeMap<String, Definition>;

/// The most attributes a company may declare.
const MOST_DEFINITIONS: usize = 400;

/// Where what is said of customers comes from.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    pub source: Source,
    /// The import by file; empty for all else.
    pub import_id: &'a str,
}

impl Via<'_> {
    /// A call of the API.
    pub const API: Self = Via { source: Source::Api, import_id: "" };
}

/// What is done, for the audit trail, and in which import.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act<'a> {
    pub action: &'a str,
    pub import_id: &'a str,
}

impl<'a> From<&'a str> for Act<'a> {
    fn from(action: &'a str) -> Self {
        Self { action, import_id: "" }
    }
}

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;

impl Customers {
    pub fn new(store: CustomerStore, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    pub async fn list(
        &self,
        caller: &Caller,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Customer>>> {
        if filter.email.is_some() && !caller.sees_personal_data() {
            let text = "addresses are not shown to you, so they cannot be searched";
            return Err(kit::Fault::new(kit::Code::Forbidden, "personal_data_hidden", text).into());
        }
        Ok(self.store.list(caller.scope()?, filter, page).await?)
    }

    /// One customer; for one that was merged, whoever it became part of.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Customer>> {
        Ok(self.store.get(scope, id).await?)
    }

    /// The record of this very id, merged or not: for merging and its undo.
    pub(crate) async fn record(&self, scope: &Scope, id: &str) -> Result<Stored<Customer>> {
        Ok(self.store.record(scope, id).await?)
    }

    pub(crate) fn store(&self) -> &CustomerStore {
        &self.store
    }

    /// A customer by our id or by the company's own.
    pub async fn named(&self, scope: &Scope, name: &str) -> Result<Stored<Customer>> {
        if kit::id::is("cus", name) {
            return self.get(scope, name).await;
        }
        let found = self.store.by_external(scope, name).await?;
        found.ok_or_else(|| kit::Fault::not_found("customer").into())
    }

    /// Creates the customer with this external id, or brings the one that has it up to date.
    pub async fn upsert(&self, caller: &Caller, said: &Said) -> Result<Stored<Customer>> {
        let scope = caller.scope()?;
        let definitions = self.definitions(scope).await?;
        let mut wrong = said.faults();
        wrong.extend(attribute_faults(&said.attributes, &definitions));
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        self.upsert_checked(caller, scope, said, &definitions, Via::API).await.map(|(stored, _)| stored)
    }

    /// The same for what was checked before; the second value says what it came to.
    pub(super) async fn upsert_checked(
        &self,
        caller: &Caller,
        scope: &Scope,
        said: &Said,
        definitions: &Definitions,
        via: Via<'_>,
    ) -> Result<(Stored<Customer>, Outcome)> {
        let act = |action| Act { action, import_id: via.import_id };
        for _ in 0..TRIES {
            let now = self.clock.now();
            let known = self.store.by_external(scope, &said.external_id).await?;
            let written = match &known {
                None => {
                    let new = Customer::new(&said.external_id).with(said, via.source, now);
                    let id = kit::id::new("cus");
                    let act = act("customer.create");
                    let events = self.events(caller, scope, (&id, 1), &new, now, definitions, act);
                    self.store.insert(scope, id, new, events).await.map(|s| (s, Outcome::Created))
                }
                Some(read) => {
                    let next = read.body.with(said, via.source, now);
                    if next == read.body {
                        return Ok((read.clone(), Outcome::Unchanged));
                    }
                    self.write(caller, read, next, definitions, act("customer.update"))
                        .await
                        .map(|s| (s, Outcome::Updated))
                }
            };
            match written {
                Err(store::Error::Stale(_)) => {}
                // The external id was taken meanwhile: the next round updates. A provider's id that belongs to
                // somebody else stays a conflict in every round.
                Err(store::Error::Duplicate(_)) if known.is_none() && said.links.is_empty() => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// Changes the fields said, if the customer still has the version that was read.
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        said: &Said,
    ) -> Result<Stored<Customer>> {
        let scope = caller.scope()?;
        let wrong = said.faults();
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        let read = self.store.get(scope, id).await?;
        still_there(&read.body)?;
        if read.version != version {
            return Err(Error::Stale);
        }
        let next = read.body.with(said, Source::Api, self.clock.now());
        if next == read.body {
            return Ok(read);
        }
        let definitions = self.definitions(scope).await?;
        Ok(self.write(caller, &read, next, &definitions, "customer.update").await?)
    }

    /// Sets attributes; null removes one.
    pub async fn put_attributes(
        &self,
        caller: &Caller,
        id: &str,
        values: &BTreeMap<String, Value>,
        observed_at: Option<Timestamp>,
    ) -> Result<Stored<Customer>> {
        let definitions = self.definitions(caller.scope()?).await?;
        let wrong = attribute_faults(values, &definitions);
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        let now = self.clock.now();
        self.change(caller, id, "customer.attributes", |c| {
            let mut next = c.clone();
            next.observe(values, Source::Api, observed_at, now);
            next
        })
        .await
    }

    /// Adds and removes tags.
    pub async fn tag(
        &self,
        caller: &Caller,
        id: &str,
        add: &[String],
        remove: &[String],
    ) -> Result<Stored<Customer>> {
        self.change(caller, id, "customer.tag", |c| c.tagged(add, remove)).await
    }

    async fn change(
        &self,
        caller: &Caller,
        id: &str,
        action: &str,
        f: impl Fn(&Customer) -> Customer + Send,
    ) -> Result<Stored<Customer>> {
        let scope = caller.scope()?;
        let definitions = self.definitions(scope).await?;
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            still_there(&read.body)?;
            let next = f(&read.body);
            if next == read.body {
                return Ok(read);
            }
            match self.write(caller, &read, next, &definitions, action).await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// The customer a provider knows by this id.
    pub async fn linked_to(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        id: &str,
    ) -> Result<Option<Stored<Customer>>> {
        Ok(self.store.by_link(scope, provider, id).await?)
    }

    /// Takes over what a provider says of a customer: the one linked to it, else the one with the external id its
    /// metadata names, else a new one.
    pub async fn link(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        seen: &CustomerSnapshot,
    ) -> Result<Stored<Customer>> {
        let caller = Caller::internal("billing-svc", Some(scope.clone()));
        let definitions = self.definitions(scope).await?;
        for _ in 0..TRIES {
            let external_id = external_id(seen);
            let known = match self.store.by_link(scope, provider, seen.id.as_str()).await? {
                Some(known) => Some(known),
                None => self.store.by_external(scope, external_id).await?,
            };
            // A provider does not bring back who was erased.
            if known.is_none()
                && let Some(erased) = self.erased_as(scope, provider, seen).await?
            {
                return Ok(erased);
            }
            let written = match known {
                Some(read) => {
                    let next =
                        with_metadata(read.body.linked(provider, seen), seen, &definitions, self.clock.now());
                    if next == read.body {
                        return Ok(read);
                    }
                    self.write(&caller, &read, next, &definitions, "customer.link").await
                }
                None => {
                    let now = self.clock.now();
                    let new = Customer::new(external_id).linked(provider, seen);
                    let new = with_metadata(new, seen, &definitions, now);
                    let id = kit::id::new("cus");
                    let events =
                        self.events(&caller, scope, (&id, 1), &new, now, &definitions, "customer.link");
                    self.store.insert(scope, id, new, events).await
                }
            };
            match written {
                Err(store::Error::Stale(_) | store::Error::Duplicate(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(Error::Busy)
    }

    /// Brings state, revenue and risk in line with the subscriptions.
    pub async fn follow(
        &self,
        scope: &Scope,
        id: &str,
        subscriptions: &[Subscription],
        saved: bool,
    ) -> Result<()> {
        let caller = Caller::internal("billing-svc", Some(scope.clone()));
        for _ in 0..TRIES {
            let read = self.store.get(scope, id).await?;
            let next = read.body.derived(subscriptions, saved);
            if next == read.body {
                return Ok(());
            }
            let definitions = self.definitions(scope).await?;
            match self.write(&caller, &read, next, &definitions, "customer.follow").await {
                Err(store::Error::Stale(_)) => {}
                other => return Ok(other.map(|_| ())?),
            }
        }
        Err(Error::Busy)
    }

    pub(super) async fn write<'a>(
        &self,
        caller: &Caller,
        read: &Stored<Customer>,
        next: Customer,
        definitions: &Definitions,
        act: impl Into<Act<'a>>,
    ) -> std::result::Result<Stored<Customer>, store::Error> {
        let act = act.into();
        let subject = (read.id.as_str(), read.version + 1);
        let mut events = self.events(caller, &read.scope, subject, &next, read.created_at, definitions, act);
        if act.action == "customer.tag" {
            // Tags are no part of `customer.upserted`, which comes first.
            events.remove(0);
        }
        let (old, new) = (&read.body.tags, &next.tags);
        let added: Vec<_> = new.iter().filter(|t| !old.contains(t)).cloned().collect();
        let removed: Vec<_> = old.iter().filter(|t| !new.contains(t)).cloned().collect();
        if !added.is_empty() || !removed.is_empty() {
            let stamp =
                Stamp { scope: &read.scope, subject: &read.id, sequence: subject.1, at: self.clock.now() };
            events.push(stamp.customer_tagged(added, removed));
        }
        self.store.replace(read, next, events).await
    }

    #[expect(clippy::too_many_arguments, reason = "what one event is made of")]
    pub(crate) fn events<'a>(
        &self,
        caller: &Caller,
        scope: &Scope,
        (id, sequence): (&str, i64),
        c: &Customer,
        created_at: Timestamp,
        definitions: &Definitions,
        act: impl Into<Act<'a>>,
    ) -> Vec<Outgoing> {
        let Act { action, import_id } = act.into();
        let stamp = Stamp { scope, subject: id, sequence, at: self.clock.now() };
        let upserted = stamp.customer_upserted(c, created_at, told_attributes(c, definitions), import_id);
        let tagged =
            (sequence == 1 && !c.tags.is_empty()).then(|| stamp.customer_tagged(c.tags.clone(), Vec::new()));
        // Names and addresses stay out of the audit trail.
        let after = json!({ "external_id": c.external_id, "tags": c.tags });
        let audit = stamp.audited(caller, "customer", action, None, Some(&after));
        std::iter::once(upserted).chain(tagged).chain(audit).collect()
    }

    /// The time as this room has it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// All attribute definitions of a company, by key.
    pub async fn definitions(&self, scope: &Scope) -> Result<Definitions> {
        let mut all = Definitions::new();
        let mut cursor = String::new();
        loop {
            let page = self.store.definitions(scope, &PageRequest::new(kit::page::MAX_LIMIT, cursor)).await?;
            all.extend(page.items.into_iter().map(|d| (d.body.key.clone(), d.body)));
            match page.next_cursor {
                Some(next) if all.len() < MOST_DEFINITIONS => cursor = next,
                _ => return Ok(all),
            }
        }
    }

    pub async fn list_definitions(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<Page<Stored<Definition>>> {
        Ok(self.store.definitions(scope, page).await?)
    }

    /// Declares an attribute.
    pub async fn define(&self, caller: &Caller, definition: Definition) -> Result<Stored<Definition>> {
        let scope = caller.scope()?;
        if self.definitions(scope).await?.len() >= MOST_DEFINITIONS {
            let text = format!("a company may declare {MOST_DEFINITIONS} attributes");
            return Err(Error::Refused("too_many_attributes", text));
        }
        let id = kit::id::new("cat");
        let stamp = Stamp { scope, subject: &id, sequence: 1, at: self.clock.now() };
        let after = json!({ "key": definition.key, "personal": definition.personal });
        let audit =
            stamp.audited(caller, "customer_attribute", "customer_attribute.create", None, Some(&after));
        Ok(self.store.define(scope, id, definition, audit.into_iter().collect()).await?)
    }

    /// The attributes texts and rules may read, as text.
    pub async fn readable_attributes(&self, scope: &Scope, c: &Customer) -> Result<BTreeMap<String, String>> {
        let definitions = self.definitions(scope).await?;
        let readable = |key: &String| definitions.get(key).is_some_and(|d| d.in_rules || d.in_text);
        let text = |value: &Value| match value {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        let all = c.values().filter(|(key, _)| readable(key));
        Ok(all.map(|(key, a)| (key.clone(), text(&a.value))).collect())
    }
}

/// The attributes the others are told: those that rules may read.
pub(crate) fn told_attributes(c: &Customer, definitions: &Definitions) -> prost_types::Struct {
    let told = c.values().filter(|(key, _)| definitions.get(*key).is_some_and(|d| d.in_rules));
    prost_types::Struct { fields: told.map(|(key, a)| (key.clone(), to_wire(&a.value))).collect() }
}

/// The company's own id of what a provider says of a customer: the one in its metadata, else the provider's.
pub(super) fn external_id(seen: &CustomerSnapshot) -> &str {
    seen.metadata.get("external_id").map_or(seen.id.as_str(), String::as_str)
}

/// With the declared attributes that the company keeps at its provider. What it says itself, over the API, counts more.
pub(super) fn with_metadata(
    mut c: Customer,
    seen: &CustomerSnapshot,
    definitions: &Definitions,
    now: Timestamp,
) -> Customer {
    let own = |key: &String| c.attributes.get(key).is_some_and(|a| a.source != Source::Provider);
    let values = seen.metadata.iter().filter(|(key, _)| !own(key)).filter_map(|(key, text)| {
        let value = definitions.get(key)?.parse(text)?;
        Some((key.clone(), value))
    });
    let values = values.collect();
    c.observe(&values, Source::Provider, None, now);
    c
}

/// What became of one upsert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Created,
    Updated,
    Unchanged,
}
