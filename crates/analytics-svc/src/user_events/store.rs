//! The collection of events: raw documents in and out, one index for people's lists and one for rules.

use bson::{Bson, Document, RawDocumentBuf, cstr, doc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kit::{Mode, Page, PageRequest, Scope};
use mongodb::options::{IndexOptions, WriteConcern};
use mongodb::{Collection, Database, IndexModel};
use store::grouped::{Group, insert_documents};

use super::model::Event;
use crate::error::Error;

const NOUN: &str = "event";
pub const COLLECTION: &str = "user_events";

/// Which events to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub name: Option<String>,
    /// Any of these references to a customer; empty stands for everybody.
    pub customers: Vec<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
}

/// References of customers and how often each did something.
pub type Counts = BoxStream<'static, Result<Vec<(String, u32)>, Error>>;

#[derive(Clone)]
pub struct EventStore {
    events: Collection<RawDocumentBuf>,
    group: Group,
}

impl EventStore {
    pub async fn open(db: &Database) -> Result<Self, Error> {
        let options = mongodb::options::CollectionOptions::builder().write_concern(WriteConcern::majority());
        let events = db.collection_with_options::<RawDocumentBuf>(COLLECTION, options.build());
        // Lists go by time, rules by customer and name.
        let by_time = doc! { "company_id": 1, "mode": 1, "occurred_at": -1, "_id": -1 };
        let by_customer = doc! { "company_id": 1, "mode": 1, "customer": 1, "name": 1, "occurred_at": -1 };
        for (name, keys) in [("by_time", by_time), ("by_customer", by_customer)] {
            let options = IndexOptions::builder().name(name.to_owned()).build();
            events
                .create_index(IndexModel::builder().keys(keys).options(options).build())
                .await
                .map_err(failed)?;
        }
        Ok(Self { group: Group::new(events.clone(), NOUN), events })
    }

    /// What writes grouped events; one task of the service.
    pub fn group(&self) -> Group {
        self.group.clone()
    }

    /// Inserts one event, grouped with others that wait, and says whether it is new.
    pub async fn insert_one(&self, scope: &Scope, event: &Event) -> Result<bool, Error> {
        is_new(self.group.insert(encode(scope, event)).await)
    }

    /// Inserts a batch and says of each event whether it is new.
    pub async fn insert_batch(&self, scope: &Scope, events: &[Event]) -> Result<Vec<bool>, Error> {
        let documents = events.iter().map(|e| encode(scope, e)).collect();
        let outcomes = insert_documents(&self.events, NOUN, documents).await?;
        outcomes.into_iter().map(is_new).collect()
    }

    /// Events, newest first.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Event>, Error> {
        let mut query = bound(scope);
        if let Some(name) = &filter.name {
            query.insert("name", name);
        }
        if !filter.customers.is_empty() {
            query.insert("customer", doc! { "$in": &filter.customers });
        }
        let mut range = Document::new();
        if let Some(from) = filter.from {
            range.insert("$gte", date(from));
        }
        if let Some(to) = filter.to {
            range.insert("$lt", date(to));
        }
        if !range.is_empty() {
            query.insert("occurred_at", range);
        }
        if let Some(cursor) = &page.cursor {
            let (at, id) = read_cursor(cursor)
                .ok_or_else(|| Error::field("cursor", "invalid", "not a cursor of this list"))?;
            let after = vec![
                doc! { "occurred_at": { "$lt": at.clone() } },
                doc! { "occurred_at": at, "_id": { "$lt": id } },
            ];
            query.insert("$or", after);
        }
        let limit = i64::from(page.limit());
        let found: Vec<RawDocumentBuf> = self
            .events
            .find(query)
            .sort(doc! { "occurred_at": -1, "_id": -1 })
            .limit(limit + 1)
            .await
            .map_err(failed)?
            .try_collect()
            .await
            .map_err(failed)?;
        let more = i64::try_from(found.len()).is_ok_and(|n| n > limit);
        let shown = &found[..found.len().min(usize::try_from(limit).unwrap_or(usize::MAX))];
        let items = shown.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let next_cursor = match (shown.last(), more) {
            (Some(last), true) => Some(make_cursor(last).map_err(anyhow::Error::from)?),
            _ => None,
        };
        Ok(Page { items, next_cursor })
    }

    /// How often a customer did something since then.
    pub async fn count(
        &self,
        scope: &Scope,
        customers: &[String],
        name: Option<&str>,
        since: Timestamp,
    ) -> Result<u64, Error> {
        let mut query = bound(scope);
        query.insert("customer", doc! { "$in": customers });
        if let Some(name) = name {
            query.insert("name", name);
        }
        query.insert("occurred_at", doc! { "$gte": date(since) });
        self.events.count_documents(query).await.map_err(failed)
    }

    /// When a customer last did anything.
    pub async fn last(&self, scope: &Scope, customers: &[String]) -> Result<Option<Timestamp>, Error> {
        let filter = Filter { customers: customers.to_vec(), ..Filter::default() };
        let page = self.list(scope, &filter, &PageRequest::new(1, "")).await?;
        Ok(page.items.first().map(|e| e.occurred_at))
    }

    /// How often each customer did something since then, by the reference that was sent, many at a time.
    pub async fn counts(&self, scope: &Scope, name: &str, since: Timestamp) -> Result<Counts, Error> {
        #[derive(serde::Deserialize)]
        struct Row {
            #[serde(rename = "_id")]
            customer: String,
            n: i64,
        }
        let mut query = bound(scope);
        query.insert("name", name);
        query.insert("occurred_at", doc! { "$gte": date(since) });
        let pipeline =
            [doc! { "$match": query }, doc! { "$group": { "_id": "$customer", "n": { "$sum": 1 } } }];
        let found = self.events.aggregate(pipeline).allow_disk_use(true).with_type::<Row>();
        let rows = found.await.map_err(failed)?.map_err(failed);
        let counts = rows.map_ok(|Row { customer, n }| (customer, u32::try_from(n).unwrap_or(u32::MAX)));
        Ok(counts.try_chunks(1_000).map_err(|e| e.1).boxed())
    }

    /// Removes what a customer did, for an erasure.
    pub async fn erase(&self, scope: &Scope, customers: &[String]) -> Result<(), Error> {
        let mut query = bound(scope);
        query.insert("customer", doc! { "$in": customers });
        self.events.delete_many(query).await.map_err(failed)?;
        Ok(())
    }
}

/// An event that is there already is no error.
fn is_new(outcome: Result<(), store::Error>) -> Result<bool, Error> {
    match outcome {
        Ok(()) => Ok(true),
        Err(store::Error::Duplicate(_)) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

fn bound(scope: &Scope) -> Document {
    doc! { "company_id": &scope.company, "mode": scope.mode.as_str() }
}

fn date(at: Timestamp) -> bson::DateTime {
    bson::DateTime::from_millis(at.as_millisecond())
}

fn encode(scope: &Scope, event: &Event) -> RawDocumentBuf {
    let Event { id, name, customer, properties, occurred_at, received_at, source } = event;
    let mode = match scope.mode {
        Mode::Live => "l",
        Mode::Test => "t",
    };
    let mut d = RawDocumentBuf::new();
    d.append(cstr!("_id"), format!("{}/{mode}/{id}", scope.company));
    d.append(cstr!("company_id"), scope.company.as_str());
    d.append(cstr!("mode"), scope.mode.as_str());
    d.append(cstr!("name"), name.as_str());
    d.append(cstr!("customer"), customer.as_str());
    d.append(cstr!("occurred_at"), date(*occurred_at));
    d.append(cstr!("received_at"), date(*received_at));
    if !source.is_empty() {
        d.append(cstr!("source"), source.as_str());
    }
    if properties.iter().next().is_some() {
        d.append(cstr!("properties"), properties);
    }
    d
}

fn decode(d: &RawDocumentBuf) -> Result<Event, Error> {
    let broken = |e: bson::error::Error| Error::Internal(e.into());
    let text = |key: &str| d.get_str(key).map(ToOwned::to_owned);
    let at = |key: &str| {
        let ms = d.get_datetime(key).map_err(|e| Error::Internal(anyhow::anyhow!("{e}")))?.timestamp_millis();
        Timestamp::from_millisecond(ms).map_err(|e| Error::Internal(e.into()))
    };
    let id = text("_id").map_err(|e| Error::Internal(anyhow::anyhow!("{e}")))?;
    // Company and mode stand before it; neither holds a slash.
    let id = id.splitn(3, '/').nth(2).unwrap_or_default().to_owned();
    let properties = match d.get("properties").map_err(broken)? {
        Some(bson::RawBsonRef::Document(p)) => p.to_owned(),
        _ => RawDocumentBuf::new(),
    };
    Ok(Event {
        id,
        name: text("name").unwrap_or_default(),
        customer: text("customer").unwrap_or_default(),
        properties,
        occurred_at: at("occurred_at")?,
        received_at: at("received_at")?,
        source: text("source").unwrap_or_default(),
    })
}

fn make_cursor(d: &RawDocumentBuf) -> Result<String, serde_json::Error> {
    let at = d.get_datetime("occurred_at").map_or(0, |t| t.timestamp_millis());
    let id = d.get_str("_id").unwrap_or_default();
    Ok(hex::encode(serde_json::to_vec(&(at, id))?))
}

fn read_cursor(text: &str) -> Option<(Bson, String)> {
    let (at, id): (i64, String) = serde_json::from_slice(&hex::decode(text).ok()?).ok()?;
    Some((bson::DateTime::from_millis(at).into(), id))
}

fn failed(error: mongodb::error::Error) -> Error {
    store::Error::of(error, NOUN).into()
}
