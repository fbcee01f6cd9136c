//! The queries of received events.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bson::{Document, doc};
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
        let open = doc! { "body.state": State::open() };
        vec![
            Index::on(&["body.provider", "body.external_id"]).unique(),
            Index::on(&["body.state", "_id"]),
            // Most events are done: those that are not are few, and only they are looked for by time.
            Index::on(&["body.provider", "body.occurred_at"]).partial(open.clone()),
            Index::global(&["body.due_at"]).partial(open),
            Index::global(&["created_at"]).ttl(KEPT),
        ]
    }
}

impl State {
    /// As a query: what is still to be worked on.
    fn open() -> Document {
        doc! { "$in": [Self::Received.as_str(), Self::Failed.as_str()] }
    }
}

/// Which events a list shows, or a replay takes.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// None of them: whatever the state.
    pub states: Vec<State>,
    pub provider: Option<ProviderKind>,
    /// The provider's own name of it.
    pub name: Option<String>,
    /// Received at or after, and before.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Filter {
    fn query(&self) -> Document {
        let Self { states, provider, name, since, until } = self;
        let mut query = doc! {};
        if !states.is_empty() {
            let states: Vec<_> = states.iter().map(|s| s.as_str()).collect();
            query.insert("body.state", doc! { "$in": states });
        }
        if let Some(provider) = provider {
            query.insert("body.provider", provider.as_str());
        }
        if let Some(name) = name {
            query.insert("body.name", name);
        }
        let mut received = doc! {};
        if let Some(at) = since {
            received.insert("$gte", store::time::to_bson(*at));
        }
        if let Some(at) = until {
            received.insert("$lt", store::time::to_bson(*at));
        }
        if !received.is_empty() {
            query.insert("body.received_at", received);
        }
        query
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
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Event>>, store::Error> {
        self.repo.list(scope, filter.query(), Sort::Newest, page).await
    }

    /// Puts these back to be worked on, where they still are as the filter says; how many.
    pub async fn again(
        &self,
        scope: &Scope,
        filter: &Filter,
        ids: &[&str],
        now: Timestamp,
    ) -> Result<u64, store::Error> {
        let mut query = filter.query();
        query.insert("_id", doc! { "$in": ids });
        let set = doc! {
            "body.state": State::Received.as_str(),
            "body.attempts": 0,
            "body.error": "",
            "body.due_at": store::time::to_bson(now),
        };
        self.repo.update_many(scope, query, doc! { "$set": set }).await
    }

    /// Which of these provider ids are not known yet.
    pub async fn unknown(
        &self,
        scope: &Scope,
        provider: ProviderKind,
        ids: Vec<&str>,
    ) -> Result<HashSet<String>, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.external_id": { "$in": &ids } };
        let mut unknown: HashSet<String> = ids.into_iter().map(str::to_owned).collect();
        let mut page = PageRequest::new(kit::page::MAX_LIMIT, "");
        loop {
            let found = self.repo.list(scope, query.clone(), Sort::Oldest, &page).await?;
            for event in &found.items {
                unknown.remove(&event.body.external_id);
            }
            match found.next_cursor {
                Some(next) => page = PageRequest::new(kit::page::MAX_LIMIT, next),
                None => return Ok(unknown),
            }
        }
    }

    /// When the oldest event happened that is not worked on yet.
    pub async fn oldest_open(
        &self,
        scope: &Scope,
        provider: ProviderKind,
    ) -> Result<Option<Timestamp>, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.state": State::open() };
        let page = PageRequest::new(1, "");
        Ok(self
            .repo
            .list(scope, query, Sort::By("body.occurred_at"), &page)
            .await?
            .items
            .into_iter()
            .next()
            .map(|e| e.body.occurred_at))
    }

    /// Whether any was not looked at yet.
    pub async fn waits(&self, scope: &Scope, provider: ProviderKind) -> Result<bool, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.state": State::Received.as_str() };
        Ok(self.repo.find(scope, query).await?.is_some())
    }

    /// When the last event happened that was worked on.
    pub async fn newest_done(
        &self,
        scope: &Scope,
        provider: ProviderKind,
    ) -> Result<Option<Timestamp>, store::Error> {
        let query = doc! { "body.provider": provider.as_str(), "body.state": State::Processed.as_str() };
        let page = PageRequest::new(1, "");
        Ok(self
            .repo
            .list(scope, query, Sort::Newest, &page)
            .await?
            .items
            .into_iter()
            .next()
            .map(|e| e.body.occurred_at))
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

    /// What became of events that were worked on, together. One that was changed meanwhile stays as it is.
    pub async fn settle(
        &self,
        events: impl IntoIterator<Item = &Stored<Event>>,
        state: State,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        let mut alike: BTreeMap<(&Scope, i64), Vec<&str>> = BTreeMap::new();
        for event in events {
            alike.entry((&event.scope, event.version)).or_default().push(&event.id);
        }
        for ((scope, version), ids) in alike {
            let set = doc! {
                "body.state": state.as_str(),
                "body.error": "",
                "body.processed_at": store::time::to_bson(now),
            };
            let update = doc! { "$set": set, "$inc": { "body.attempts": 1 } };
            self.repo.update_many(scope, doc! { "_id": { "$in": ids }, "version": version }, update).await?;
        }
        Ok(())
    }

    /// Those to be worked on now, over all companies.
    pub async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<Event>>, store::Error> {
        let query = doc! {
            "body.state": State::open(),
            "body.due_at": { "$lte": store::time::to_bson(now) },
        };
        self.repo.across().list(query, most).await
    }
}
