//! The collection of customers, and its writes in bulk.

use std::collections::{HashMap, HashSet};

use bson::{Bson, Document, RawDocumentBuf, doc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::{Collection, Database};
use serde::Deserialize;
use store::{Index, Record, Repo, Sort, Stored, outbox};

use super::model::Customer;
use crate::error::Error;
use crate::persona::Board;
use crate::rules;

/// Statements of one update command.
const CHUNK: usize = 1_000;
const NOUN: &str = "customer";

impl Record for Customer {
    const COLLECTION: &'static str = "customers";
    const NOUN: &'static str = NOUN;

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.external_id"]),
            Index::on(&["body.email"]).partial(doc! { "body.email": { "$gt": "" } }),
            Index::on(&["body.personas.persona", "_id"]),
            Index::on(&["body.aliases"]).partial(doc! { "body.aliases": { "$exists": true } }),
            Index::on(&["body.erased"]).partial(doc! { "body.erased": true }),
        ]
    }
}

/// A customer as it is to be, and as it was read; none where it is new.
pub struct Write {
    pub id: String,
    /// The version that was read; none where the customer is new.
    pub read: Option<i64>,
    pub customer: Customer,
    pub events: Vec<Outgoing>,
}

impl Write {
    /// A customer that a refresh found and moved.
    pub fn moved(found: Changed, customer: Customer, events: Vec<Outgoing>) -> Self {
        Self { id: found.id, read: Some(found.version), customer, events }
    }
}

/// A customer whose personas are not those the rules say.
pub struct Changed {
    pub id: String,
    pub version: i64,
    pub customer: Customer,
}

/// What a query finds, many at a time.
pub type Chunks<T> = BoxStream<'static, Result<Vec<T>, Error>>;

#[derive(Clone)]
pub struct CustomerStore {
    repo: Repo<Customer>,
    raw: Collection<RawDocumentBuf>,
    db: Database,
}

impl CustomerStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, Error> {
        let repo = Repo::open(db, clock).await?;
        Ok(Self { repo, raw: db.collection(Customer::COLLECTION), db: db.clone() })
    }

    pub async fn get_many(
        &self,
        scope: &Scope,
        ids: &[String],
    ) -> Result<HashMap<String, Stored<Customer>>, Error> {
        let found = self.repo.get_many(scope, ids).await?;
        Ok(found.into_iter().map(|c| (c.id.clone(), c)).collect())
    }

    /// A customer by our id or the company's.
    pub async fn resolve(&self, scope: &Scope, reference: &str) -> Result<Option<Stored<Customer>>, Error> {
        let by_id = self.repo.find(scope, doc! { "_id": reference }).await?;
        if let Some(aside) = by_id.as_ref().and_then(|c| c.body.merged.as_ref()) {
            // Part of another, which may be part of another by now.
            return Box::pin(self.resolve(scope, &aside.survivor)).await;
        }
        if by_id.is_some() {
            return Ok(by_id);
        }
        let by_external = self.repo.find(scope, doc! { "body.external_id": reference }).await?;
        if by_external.is_some() {
            return Ok(by_external);
        }
        Ok(self.repo.find(scope, doc! { "body.aliases": reference }).await?)
    }

    /// How many of these keys, all different, name a customer.
    pub async fn count_keys(&self, scope: &Scope, field: &str, keys: &[String]) -> Result<u64, Error> {
        if keys.is_empty() {
            return Ok(0);
        }
        let mut count = self.repo.count(scope, doc! { field: { "$in": keys } }).await?;
        let ours: Vec<_> = keys.iter().filter(|k| field != "_id" && kit::id::is("cus", k)).collect();
        if !ours.is_empty() {
            count += self.repo.count(scope, doc! { "_id": { "$in": ours } }).await?;
        }
        Ok(count)
    }

    /// The customers behind keys of usage rows: key to our id.
    pub async fn match_keys(
        &self,
        scope: &Scope,
        field: &str,
        keys: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        // Whatever a company calls its own id, ours is understood too.
        for field in HashSet::from([field, "_id"]) {
            let query = bound(scope, doc! { field: { "$in": keys } });
            let mut cursor = self
                .raw
                .find(query)
                .projection(doc! { "_id": 1, field: 1 })
                .batch_size(2_000)
                .await
                .map_err(failed)?;
            while let Some(raw) = cursor.try_next().await.map_err(failed)? {
                let Ok(id) = raw.get_str("_id") else { continue };
                let key = match field.strip_prefix("body.") {
                    None => Some(id),
                    Some(name) => raw.get_document("body").ok().and_then(|b| b.get_str(name).ok()),
                };
                if let Some(key) = key {
                    found.insert(key.to_owned(), id.to_owned());
                }
            }
        }
        // Further names of people whose records were merged; those of ours first led to a record that stands aside.
        let left: Vec<_> = keys
            .iter()
            .filter(|k| !found.contains_key(*k) || k.starts_with("cus_"))
            .map(String::as_str)
            .collect();
        for part in left.chunks(kit::page::MAX_LIMIT as usize) {
            let query = doc! { "body.aliases": { "$in": part } };
            let page = PageRequest::new(kit::page::MAX_LIMIT, "");
            for one in self.repo.list(scope, query, Sort::Oldest, &page).await?.items {
                for name in one.body.aliases.iter().filter(|a| part.contains(&a.as_str())) {
                    found.insert(name.clone(), one.id.clone());
                }
            }
        }
        Ok(found)
    }

    /// Writes changed customers and their events, each only if nobody else changed it since it was read. Whether all
    /// could be written; where not, read and decide again.
    pub async fn write(&self, scope: &Scope, writes: Vec<Write>, now: Timestamp) -> Result<bool, Error> {
        let (old, new): (Vec<_>, Vec<_>) = writes.into_iter().partition(|w| w.read.is_some());
        let mut all = true;
        let added = new.into_iter().map(|w| (w.id, w.customer, w.events)).collect();
        for outcome in self.repo.insert_many(scope, added).await? {
            match outcome {
                Ok(()) => {}
                Err(store::Error::Duplicate(_)) => all = false,
                Err(e) => return Err(e.into()),
            }
        }
        let mut statements = Vec::with_capacity(old.len());
        for Write { read, id, customer, events } in old {
            let version = read.unwrap_or_default();
            let body = bson::serialize_to_bson(&customer).map_err(store::Error::from)?;
            statements.push((id, version, doc! { "body": body }, events));
        }
        Ok(self.update(scope, statements, now).await? && all)
    }

    /// Writes only the personas of customers that a refresh moved.
    pub async fn write_personas(
        &self,
        scope: &Scope,
        moved: Vec<Write>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let mut statements = Vec::with_capacity(moved.len());
        for Write { read, id, customer, events } in moved {
            let version = read.unwrap_or_default();
            let set = doc! {
                "body.personas": bson::serialize_to_bson(&customer.personas).map_err(store::Error::from)?,
                "body.past": bson::serialize_to_bson(&customer.past).map_err(store::Error::from)?,
            };
            statements.push((id, version, set, events));
        }
        self.update(scope, statements, now).await
    }

    /// Conditional updates in as few commands as can be; whether every one met its condition.
    async fn update(
        &self,
        scope: &Scope,
        statements: Vec<(String, i64, Document, Vec<Outgoing>)>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Reply {
            n: i64,
        }
        let mut all = true;
        let mut statements = statements.into_iter().peekable();
        while statements.peek().is_some() {
            let mut updates = Vec::new();
            for (id, version, mut set, events) in statements.by_ref().take(CHUNK) {
                let at = store::time::to_bson(now);
                set.insert("updated_at", at);
                let mut update = doc! { "$inc": { "version": 1_i64 } };
                if !events.is_empty() {
                    set.insert("_out", at);
                    let entries: Vec<_> = events.into_iter().map(outbox::Entry::from).collect();
                    let entries = bson::serialize_to_bson(&entries).map_err(store::Error::from)?;
                    update.insert("$push", doc! { "_outbox": { "$each": entries } });
                }
                update.insert("$set", set);
                let q = bound(scope, doc! { "_id": id, "version": version });
                updates.push(doc! { "q": q, "u": update });
            }
            let sent = i64::try_from(updates.len()).unwrap_or(0);
            let command = doc! {
                "update": Customer::COLLECTION,
                "updates": updates,
                "ordered": false,
                "writeConcern": { "w": "majority" },
            };
            let reply = self.db.run_command(command).await.map_err(failed)?;
            let reply: Reply = bson::deserialize_from_document(reply).map_err(store::Error::from)?;
            all &= reply.n == sent;
        }
        outbox::wake(Customer::COLLECTION);
        Ok(all)
    }

    /// Every customer of the company, by id, in chunks: for recomputing.
    pub async fn chunk(
        &self,
        scope: &Scope,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Stored<Customer>>, Error> {
        let filter = doc! { "_id": { "$gt": after } };
        let page = PageRequest::new(limit, "");
        Ok(self.repo.list(scope, filter, Sort::Oldest, &page).await?.items)
    }

    pub async fn members(
        &self,
        scope: &Scope,
        persona: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<Customer>>, Error> {
        let filter = doc! { "body.personas.persona": persona };
        Ok(self.repo.list(scope, filter, Sort::Oldest, page).await?)
    }

    pub async fn count_members(&self, scope: &Scope, persona: &str) -> Result<u64, Error> {
        Ok(self.repo.count(scope, doc! { "body.personas.persona": persona }).await?)
    }

    /// All who are not erased. Both counts come from an index alone; to look at each customer costs more than the rules.
    pub async fn count(&self, scope: &Scope) -> Result<u64, Error> {
        let (all, erased) = tokio::try_join!(
            self.repo.count(scope, Document::new()),
            self.repo.count(scope, doc! { "body.erased": true }),
        )?;
        Ok(all.saturating_sub(erased))
    }

    /// How many customers a rule takes, some of them, and how many of them are in which persona.
    pub async fn preview(
        &self,
        scope: &Scope,
        rule: &rules::Rule,
        sample: i32,
    ) -> Result<(u64, Vec<String>, Vec<(String, u64)>), Error> {
        let mut taken = looked_at();
        taken.insert("$expr", rules::expression(rule, "body.facts", "body.events"));
        let facet = doc! {
            "size": [{ "$count": "n" }],
            "sample": [{ "$limit": sample }, { "$project": { "_id": 1 } }],
            "overlap": [{ "$unwind": "$body.personas" }, { "$sortByCount": "$body.personas.persona" }],
        };
        let pipeline = vec![
            doc! { "$match": taken },
            doc! { "$project": { "body.personas.persona": 1 } },
            doc! { "$facet": facet },
        ];
        let found = self.repo.aggregate(scope, pipeline).await?.into_iter().next().unwrap_or_default();
        let rows = |name: &str| -> Vec<Document> {
            let list = found.get_array(name).cloned().unwrap_or_default();
            list.into_iter().filter_map(|b| b.as_document().cloned()).collect()
        };
        let int = |d: &Document, key: &str| match d.get(key) {
            Some(Bson::Int32(n)) => u64::try_from(*n).unwrap_or(0),
            Some(Bson::Int64(n)) => u64::try_from(*n).unwrap_or(0),
            _ => 0,
        };
        let text = |d: &Document| d.get_str("_id").unwrap_or_default().to_owned();
        let size = rows("size").first().map_or(0, |d| int(d, "n"));
        let sample = rows("sample").iter().map(text).collect();
        let overlap = rows("overlap").iter().map(|d| (text(d), int(d, "count"))).collect();
        Ok((size, sample, overlap))
    }

    /// Finds, in one pass inside the database, the customers whose personas are not those the board says, in chunks.
    pub async fn changed(&self, scope: &Scope, board: &Board) -> Result<Chunks<Changed>, Error> {
        #[derive(Deserialize)]
        struct Row {
            #[serde(rename = "_id")]
            id: String,
            version: i64,
            body: Customer,
        }
        let present = doc! { "$ifNull": ["$body.personas.persona", []] };
        let differs = doc! { "$not": [{ "$setEquals": [matched(board), present] }] };
        let mut these = looked_at();
        these.insert("$expr", differs);
        // In the match itself: what stays is never copied.
        let pipeline =
            [doc! { "$match": bound(scope, these) }, doc! { "$project": { "version": 1, "body": 1 } }];
        let found =
            self.raw.aggregate(pipeline).batch_size(1_000).with_type::<Row>().await.map_err(failed)?;
        let rows = found.map_err(failed);
        let changed = rows.map_ok(|Row { id, version, body }| Changed { id, version, customer: body });
        Ok(changed.try_chunks(CHUNK).map_err(|e| e.1).boxed())
    }

    /// Sets a count of events where it is another.
    pub async fn set_event_counts(
        &self,
        scope: &Scope,
        key: &str,
        counts: HashMap<String, u32>,
    ) -> Result<(), Error> {
        let path = format!("body.events.{key}");
        let mut counts = counts.into_iter().peekable();
        while counts.peek().is_some() {
            let chunk = counts.by_ref().take(CHUNK).map(|(id, n)| {
                let n = i64::from(n);
                let q = bound(scope, doc! { "_id": id, &path: { "$ne": n } });
                doc! { "q": q, "u": { "$set": { &path: n }, "$inc": { "version": 1_i64 } } }
            });
            let command = doc! { "update": Customer::COLLECTION, "updates": chunk.collect::<Vec<_>>(),
            "ordered": false, "writeConcern": { "w": "majority" } };
            self.db.run_command(command).await.map_err(failed)?;
        }
        Ok(())
    }

    /// The customers that have a count of events.
    pub async fn counted(&self, scope: &Scope, key: &str) -> Result<Vec<String>, Error> {
        let path = format!("body.events.{key}");
        let found = self.raw.find(bound(scope, doc! { path: { "$exists": true } }));
        let mut cursor = found.projection(doc! { "_id": 1 }).await.map_err(failed)?;
        let mut ids = Vec::new();
        while let Some(raw) = cursor.try_next().await.map_err(failed)? {
            ids.push(raw.get_str("_id").unwrap_or_default().to_owned());
        }
        Ok(ids)
    }

    pub async fn unset_event_counts(&self, scope: &Scope, key: &str, ids: &[String]) -> Result<(), Error> {
        let path = format!("body.events.{key}");
        for chunk in ids.chunks(CHUNK) {
            let update = doc! { "$unset": { &path: 1 } };
            self.repo.update_many(scope, doc! { "_id": { "$in": chunk } }, update).await?;
        }
        Ok(())
    }
}

/// The personas a board puts a customer in, as an expression.
fn matched(board: &Board) -> Bson {
    let mut groups: Vec<Bson> = Vec::new();
    let mut exclusive: Vec<(&str, Vec<Document>)> = Vec::new();
    for seat in &board.seats {
        let holds = rules::expression(&seat.rule, "body.facts", "body.events");
        match seat.exclusive.as_deref() {
            None => groups.push(doc! { "$cond": [holds, [&seat.id], []] }.into()),
            Some(category) => {
                let branch = doc! { "case": holds, "then": [&seat.id] };
                match exclusive.iter_mut().find(|(c, _)| *c == category) {
                    Some((_, branches)) => branches.push(branch),
                    None => exclusive.push((category, vec![branch])),
                }
            }
        }
    }
    // The first branch that holds is the strongest: seats come in order.
    let switches = exclusive
        .into_iter()
        .map(|(_, branches)| Bson::from(doc! { "$switch": { "branches": branches, "default": [] } }));
    groups.extend(switches);
    if groups.is_empty() {
        return Bson::Array(Vec::new());
    }
    doc! { "$concatArrays": groups }.into()
}

/// Who may be in a persona.
fn looked_at() -> Document {
    doc! { "body.erased": false, "body.restricted": { "$ne": true } }
}

fn bound(scope: &Scope, filter: Document) -> Document {
    let mut query = doc! { "company_id": &scope.company, "mode": scope.mode.as_str() };
    query.extend(filter);
    query
}

fn failed(error: mongodb::error::Error) -> Error {
    store::Error::of(error, NOUN).into()
}
