//! Where files are written down.

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Media, State};

impl Record for Media {
    const COLLECTION: &'static str = "media";
    const NOUN: &'static str = "media";

    fn indexes() -> Vec<Index> {
        let ready = doc! { "body.state": State::Ready.as_str() };
        vec![
            Index::on(&["body.state", "_id"]),
            // The same bytes twice are one.
            Index::on(&["body.hash"]).unique().partial(ready),
            // Who asks for a picture does not say whose it is.
            Index::global(&["body.hashes"]),
            Index::global(&["body.state", "updated_at"]),
        ]
    }
}

/// The files.
#[derive(Clone)]
pub struct MediaStore(Repo<Media>);

impl MediaStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Media>, store::Error> {
        self.0.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Media>>, store::Error> {
        let query = match state {
            Some(state) => doc! { "body.state": state.as_str() },
            None => doc! { "body.state": { "$ne": State::Archived.as_str() } },
        };
        self.0.list(scope, query, Sort::Newest, page).await
    }

    /// The one of these bytes that can be used.
    pub async fn ready_as(&self, scope: &Scope, hash: &str) -> Result<Option<Stored<Media>>, store::Error> {
        self.0.find(scope, doc! { "body.state": State::Ready.as_str(), "body.hash": hash }).await
    }

    /// Those of these ids, or served under one of these hashes, that can be used.
    pub async fn ready(
        &self,
        scope: &Scope,
        ids: &[&str],
        hashes: &[&str],
    ) -> Result<Vec<Stored<Media>>, store::Error> {
        let either = doc! { "$or": [ { "_id": { "$in": ids } }, { "body.hashes": { "$in": hashes } } ] };
        let query = doc! { "$and": [ { "body.state": State::Ready.as_str() }, either ] };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.0.list(scope, query, Sort::Newest, &page).await?.items)
    }

    /// One that everybody may read, whosever it is.
    pub async fn public(&self, hash: &str) -> Result<Option<Stored<Media>>, store::Error> {
        let public = doc! {
            "body.hashes": hash, "body.state": State::Ready.as_str(), "body.published_at": { "$exists": true },
        };
        self.0.across().find(public).await
    }

    /// Whether anything but archived ones is served under this hash.
    pub async fn is_held(&self, scope: &Scope, hash: &str) -> Result<bool, store::Error> {
        let held = doc! { "body.hashes": hash, "body.state": { "$ne": State::Archived.as_str() } };
        Ok(self.0.find(scope, held).await?.is_some())
    }

    /// Notes that something that shows it is being published; false where it cannot be used any more.
    pub async fn mark(&self, scope: &Scope, id: &str, now: Timestamp) -> Result<bool, store::Error> {
        let guard = doc! { "body.state": State::Ready.as_str() };
        let update = doc! { "$set": { "body.published_at": now.to_string() } };
        Ok(self.0.update(scope, id, guard, update, Vec::new()).await?.is_some())
    }

    /// Some whose sender was not heard of since then.
    pub async fn stranded(&self, since: Timestamp) -> Result<Vec<Stored<Media>>, store::Error> {
        self.untouched(doc! { "$in": [State::Uploading.as_str(), State::Scanning.as_str()] }, since).await
    }

    /// Some that were archived before then and whose bytes are still there.
    pub async fn to_empty(&self, since: Timestamp) -> Result<Vec<Stored<Media>>, store::Error> {
        let state = doc! { "$eq": State::Archived.as_str() };
        let found = self.untouched(state, since).await?;
        Ok(found.into_iter().filter(|m| !m.body.emptied).collect())
    }

    async fn untouched(&self, state: Document, since: Timestamp) -> Result<Vec<Stored<Media>>, store::Error> {
        let query = doc! {
            "body.state": state, "body.emptied": { "$ne": true },
            "updated_at": { "$lt": store::time::to_bson(since) },
        };
        self.0.across().list(query, 100).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        media: Media,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Media>, store::Error> {
        self.0.insert(scope, id, media, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Media>,
        media: Media,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Media>, store::Error> {
        self.0.replace(read, media, events).await
    }

    pub async fn remove(&self, read: &Stored<Media>) -> Result<(), store::Error> {
        self.0.remove(&read.scope, &read.id).await.map(drop)
    }
}
