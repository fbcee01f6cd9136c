//! The queries of received events.

use std::time::Duration;

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::grouped::Inserter;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Event, State};
use crate::providers::ProviderKind;

/// How long events are kept. Providers repeat for three days; people look back a little longer.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Record for Event {
    const COLLECTION: &'static str = "inbound_events";
    const NOUN: &'static str = "event";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.provider", "body.external_id"]).unique(),
            Index::on(&["body.state", "_id"]),
            Index::global(&["body.state", "body.due_at"]),
            Index::global(&["created_at"]).ttl(KEPT),
        ]
    }
}

#[derive(Clone)]
pub struct EventStore {
    repo: Repo<Event>,
    inserts: Inserter<Event>,
}

impl EventStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        let repo = Repo::open(db, clock).await?;
        Ok(Self { inserts: Inserter::new(repo.clone()), repo })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Event>, store::Error> {
        self.repo.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Event>>, store::Error> {
        let mut query = doc! {};
        if let Some(state) = state {
            query.insert("body.state", state.as_str());
        }
        self.repo.list(scope, query, Sort::Newest, page).await
    }

    pub async fn by_external(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        external_id: &str,
    ) -> Result<Option<Stored<Event>>, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.external_id": external_id };
        self.repo.find(scope, query).await
    }

    /// Adds an event, together with whatever else waits.
    pub async fn insert(&self, scope: &Scope, id: String, event: Event) -> Result<(), store::Error> {
        self.inserts.insert(scope, id, event, Vec::new()).await.map(|_| ())
    }

    /// The queue of inserts, whose `run` must be a task of the service.
    pub fn inserts(&self) -> Inserter<Event> {
        self.inserts.clone()
    }

    pub async fn replace(
        &self,
        read: &Stored<Event>,
        event: Event,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Event>, store::Error> {
        self.repo.replace(read, event, events).await
    }

    /// Those to be worked on now, over all companies.
    pub async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<Event>>, store::Error> {
        let query = doc! {
            "body.state": { "$in": [State::Received.as_str(), State::Failed.as_str()] },
            "body.due_at": { "$lte": store::time::to_bson(now) },
        };
        self.repo.across().list(query, most).await
    }
}
