//! Where kept pieces are kept.

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::CardElement;

impl Record for CardElement {
    const COLLECTION: &'static str = "card_elements";
    const NOUN: &'static str = "card element";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.archived", "_id"])]
    }
}

/// The kept pieces.
#[derive(Clone)]
pub struct ElementStore(Repo<CardElement>);

impl ElementStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<CardElement>, store::Error> {
        self.0.get(scope, id).await
    }

    /// The pieces of these ids that are not archived.
    pub async fn several(
        &self,
        scope: &Scope,
        ids: &[&str],
    ) -> Result<Vec<Stored<CardElement>>, store::Error> {
        let query = doc! { "_id": { "$in": ids.to_vec() }, "body.archived": false };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.0.list(scope, query, Sort::Newest, &page).await?.items)
    }

    /// Those in use that hold one of these values in one of these fields.
    pub async fn naming(
        &self,
        scope: &Scope,
        fields: &[(String, Vec<String>)],
    ) -> Result<Vec<Stored<CardElement>>, store::Error> {
        let either: Vec<_> = fields.iter().map(|(field, values)| doc! { field: { "$in": values } }).collect();
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        let query = doc! { "$or": either, "body.archived": false };
        Ok(self.0.list(scope, query, Sort::Newest, &page).await?.items)
    }

    pub async fn list(
        &self,
        scope: &Scope,
        archived: bool,
        page: &PageRequest,
    ) -> Result<Page<Stored<CardElement>>, store::Error> {
        let query = if archived {
            doc! {}
        } else {
            doc! { "body.archived": false }
        };
        self.0.list(scope, query, Sort::Newest, page).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        element: CardElement,
        events: Vec<Outgoing>,
    ) -> Result<Stored<CardElement>, store::Error> {
        self.0.insert(scope, id, element, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<CardElement>,
        element: CardElement,
        events: Vec<Outgoing>,
    ) -> Result<Stored<CardElement>, store::Error> {
        self.0.replace(read, element, events).await
    }
}
