//! The queries of customers and attribute definitions.

use std::collections::HashSet;

use bson::{Bson, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Customer, Definition, EXTERNAL, State, name_of};
use crate::providers::ProviderKind;

impl Record for Customer {
    const COLLECTION: &'static str = "customers";
    const NOUN: &'static str = "customer";

    fn indexes() -> Vec<Index> {
        let mut all = vec![
            Index::on(&["body.external_id"]).unique(),
            Index::on(&["body.state", "_id"]),
            Index::on(&["body.tags", "_id"]),
            Index::on(&["body.email", "_id"]),
            // A further name belongs to one customer, too.
            Index::on(&["body.also"]).unique().partial(doc! { "body.also": { "$exists": true } }),
            Index::on(&["body.forgotten"]).partial(doc! { "body.forgotten": { "$exists": true } }),
            Index::on(&["body.merged_into"]).partial(doc! { "body.merged_into": { "$exists": true } }),
        ];
        // A provider's id belongs to one customer; customers without one do not meet in the index.
        all.extend(
            ProviderKind::ALL
                .map(link_field)
                .map(|field| Index::on(&[field]).unique().partial(doc! { field: { "$exists": true } })),
        );
        all
    }
}

impl Record for Definition {
    const COLLECTION: &'static str = "customer_attributes";
    const NOUN: &'static str = "customer attribute";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.key"]).unique()]
    }
}

fn link_field(provider: ProviderKind) -> &'static str {
    match provider {
        ProviderKind::Stripe => "body.links.stripe",
        ProviderKind::Chargebee => "body.links.chargebee",
        ProviderKind::Recurly => "body.links.recurly",
        ProviderKind::Simulated => "body.links.simulated",
    }
}

/// Which customers a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub tag: Option<String>,
    pub external_id: Option<String>,
    pub email: Option<String>,
}

/// What one customer of a batch is to become: the id of a new one, its record and what the others hear of it.
pub type New = (String, Customer, Vec<Outgoing>);

#[derive(Clone)]
pub struct CustomerStore {
    repo: Repo<Customer>,
    definitions: Repo<Definition>,
    db: Database,
}

/// How often a customer may become part of another that becomes part of another.
const DEEPEST: usize = 16;

impl CustomerStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        let repo = Repo::open(db, clock.clone()).await?;
        Ok(Self { repo, definitions: Repo::open(db, clock).await?, db: db.clone() })
    }

    /// One customer; for one that was merged, whoever it became part of.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Customer>, store::Error> {
        let mut found = self.repo.get(scope, id).await?;
        for _ in 0..DEEPEST {
            let Some(next) = &found.body.merged_into else { return Ok(found) };
            found = self.repo.get(scope, next).await?;
        }
        Err(store::Error::NotFound(Customer::NOUN))
    }

    /// The record of this very id, merged or not.
    pub async fn record(&self, scope: &Scope, id: &str) -> Result<Stored<Customer>, store::Error> {
        self.repo.get(scope, id).await
    }

    /// The records that became part of a customer, and those that had become part of these.
    pub async fn absorbed(&self, scope: &Scope, id: &str) -> Result<Vec<Stored<Customer>>, store::Error> {
        let (mut all, mut of): (Vec<Stored<Customer>>, _) = (Vec::new(), vec![id.to_owned()]);
        for _ in 0..DEEPEST {
            let query = doc! { "body.merged_into": { "$in": &of } };
            let found = self.repo.list(scope, query, Sort::Newest, &PageRequest::new(200, "")).await?.items;
            if found.is_empty() {
                break;
            }
            of = found.iter().map(|c| c.id.clone()).collect();
            all.extend(found);
        }
        Ok(all)
    }

    /// The database, for the transaction of a merge.
    pub fn db(&self) -> &Database {
        &self.db
    }

    /// Writes inside a transaction.
    pub async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Customer>,
        body: Customer,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Customer>, store::Error> {
        self.repo.replace_in(tx, read, body, events).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Customer>>, store::Error> {
        let mut query = doc! { "body.merged_into": Bson::Null };
        if let Some(state) = filter.state {
            query.insert("body.state", state.as_str());
        }
        let texts = [
            ("body.tags", &filter.tag),
            ("body.external_id", &filter.external_id),
            ("body.email", &filter.email),
        ];
        for (field, value) in texts {
            if let Some(value) = value {
                query.insert(field, value);
            }
        }
        self.repo.list(scope, query, Sort::Newest, page).await
    }

    pub async fn by_external(
        &self,
        scope: &Scope,
        external_id: &str,
    ) -> Result<Option<Stored<Customer>>, store::Error> {
        if let Some(found) = self.repo.find(scope, doc! { "body.external_id": external_id }).await? {
            return Ok(Some(found));
        }
        self.also(scope, EXTERNAL, external_id).await
    }

    /// The one who also goes by this name, since records were merged.
    async fn also(
        &self,
        scope: &Scope,
        of: &str,
        name: &str,
    ) -> Result<Option<Stored<Customer>>, store::Error> {
        self.repo.find(scope, doc! { "body.also": name_of(of, name) }).await
    }

    async fn also_in(
        &self,
        scope: &Scope,
        of: &str,
        names: &[&str],
        found: &mut Vec<Stored<Customer>>,
    ) -> Result<(), store::Error> {
        let known: HashSet<_> = found.iter().flat_map(|c| c.body.names(of)).collect();
        let missing = names.iter().filter(|n| !known.contains(**n)).map(|n| name_of(of, n));
        let missing: Vec<_> = missing.collect();
        let mut more = Vec::new();
        for part in missing.chunks(kit::page::MAX_LIMIT as usize) {
            let page = PageRequest::new(kit::page::MAX_LIMIT, "");
            let query = doc! { "body.also": { "$in": part } };
            more.extend(self.repo.list(scope, query, Sort::Newest, &page).await?.items);
        }
        for one in more {
            if found.iter().all(|c| c.id != one.id) {
                found.push(one);
            }
        }
        Ok(())
    }

    /// Those of these external ids that exist.
    pub async fn by_externals(
        &self,
        scope: &Scope,
        ids: &[&str],
    ) -> Result<Vec<Stored<Customer>>, store::Error> {
        let mut found = Vec::with_capacity(ids.len());
        for part in ids.chunks(kit::page::MAX_LIMIT as usize) {
            let query = doc! { "body.external_id": { "$in": part } };
            let page = PageRequest::new(kit::page::MAX_LIMIT, "");
            found.extend(self.repo.list(scope, query, Sort::Newest, &page).await?.items);
        }
        self.also_in(scope, EXTERNAL, ids, &mut found).await?;
        Ok(found)
    }

    /// Those that a provider knows by these ids.
    pub async fn by_links(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        ids: &[&str],
    ) -> Result<Vec<Stored<Customer>>, store::Error> {
        let mut found = Vec::with_capacity(ids.len());
        // One customer has one such id, so a part's answer fits a page.
        for part in ids.chunks(kit::page::MAX_LIMIT as usize) {
            let query = doc! { link_field(provider): { "$in": part } };
            let page = PageRequest::new(kit::page::MAX_LIMIT, "");
            found.extend(self.repo.list(scope, query, Sort::Newest, &page).await?.items);
        }
        self.also_in(scope, provider.as_str(), ids, &mut found).await?;
        Ok(found)
    }

    pub async fn get_many(
        &self,
        scope: &Scope,
        ids: &[String],
    ) -> Result<Vec<Stored<Customer>>, store::Error> {
        self.repo.get_many(scope, ids).await
    }

    /// Those who were erased and had one of these names, each as [`super::erasure::unreadable`] writes it.
    pub async fn forgotten(
        &self,
        scope: &Scope,
        names: &[String],
    ) -> Result<Vec<Stored<Customer>>, store::Error> {
        let mut found = Vec::new();
        for part in names.chunks(kit::page::MAX_LIMIT as usize) {
            // Named in so many words, so that the index serves, which holds only them.
            let query = doc! { "body.forgotten": { "$in": part, "$exists": true } };
            let page = PageRequest::new(kit::page::MAX_LIMIT, "");
            found.extend(self.repo.list(scope, query, Sort::Newest, &page).await?.items);
        }
        Ok(found)
    }

    pub async fn by_link(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        id: &str,
    ) -> Result<Option<Stored<Customer>>, store::Error> {
        if let Some(found) = self.repo.find(scope, doc! { link_field(provider): id }).await? {
            return Ok(Some(found));
        }
        self.also(scope, provider.as_str(), id).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: Customer,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Customer>, store::Error> {
        self.repo.insert(scope, id, body, events).await
    }

    pub async fn insert_many(
        &self,
        scope: &Scope,
        rows: Vec<New>,
    ) -> Result<Vec<Result<(), store::Error>>, store::Error> {
        self.repo.insert_many(scope, rows).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Customer>,
        body: Customer,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Customer>, store::Error> {
        self.repo.replace(read, body, events).await
    }

    pub async fn define(
        &self,
        scope: &Scope,
        id: String,
        definition: Definition,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Definition>, store::Error> {
        self.definitions.insert(scope, id, definition, events).await
    }

    pub async fn definitions(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<Page<Stored<Definition>>, store::Error> {
        self.definitions.list(scope, doc! {}, Sort::Oldest, page).await
    }
}
