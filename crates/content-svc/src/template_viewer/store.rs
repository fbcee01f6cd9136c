//! Where links to previews are kept.

use bson::{Bson, Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::ShareLink;

impl Record for ShareLink {
    const COLLECTION: &'static str = "share_links";
    const NOUN: &'static str = "share link";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.token_hash"]).unique(), Index::on(&["body.template_id", "_id"])]
    }
}

/// The links.
#[derive(Clone)]
pub struct LinkStore(Repo<ShareLink>);

impl LinkStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        link: ShareLink,
        events: Vec<Outgoing>,
    ) -> Result<Stored<ShareLink>, store::Error> {
        self.0.insert(scope, id, link, events).await
    }

    /// Whosever it is: the token is all that a reader brings.
    pub async fn by_token(&self, token_hash: &str) -> Result<Option<Stored<ShareLink>>, store::Error> {
        self.0.across().find(doc! { "body.token_hash": token_hash }).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        template: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Stored<ShareLink>>, store::Error> {
        let query = template.map_or_else(Document::new, |id| doc! { "body.template_id": id });
        self.0.list(scope, query, Sort::Newest, page).await
    }

    /// Ends a link, once.
    pub async fn revoke(
        &self,
        scope: &Scope,
        id: &str,
        now: Timestamp,
        events: Vec<Outgoing>,
    ) -> Result<Stored<ShareLink>, store::Error> {
        let guard = doc! { "body.revoked_at": Bson::Null };
        let update = doc! { "$set": { "body.revoked_at": store::time::to_bson(now) } };
        match self.0.update(scope, id, guard, update, events).await? {
            Some(revoked) => Ok(revoked),
            None => self.0.get(scope, id).await,
        }
    }
}
