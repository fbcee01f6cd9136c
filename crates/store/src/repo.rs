//! A collection of one kind of record. Every query and every index begins with company and mode: an unscoped one cannot
//! be written, except through [`Across`], which is for jobs.

use std::marker::PhantomData;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable};
use bson::raw::RawDocumentBuf;
use bson::{Bson, DateTime, Document, doc};
use futures_util::TryStreamExt;
use jiff::Timestamp;
use kit::caller::{Mode, Scope};
use kit::{Outgoing, Page, PageRequest, SharedClock};
use mongodb::options::{ReadConcern, ReturnDocument};
use mongodb::{Collection, Database};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::page::Mark;
use crate::{Across, Error, Index, Result, Sort, Transaction, grouped, outbox, time};

/// What can be stored: its collection, what it is called, and its indexes.
pub trait Record: Serialize + DeserializeOwned + Clone + Send + Sync + Unpin + 'static {
    const COLLECTION: &'static str;
    /// For errors: "there is no such *offer*".
    const NOUN: &'static str;

    fn indexes() -> Vec<Index> {
        Vec::new()
    }
}

/// A record with what every record has.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    pub id: String,
    pub scope: Scope,
    /// 1 when new; rises with each write.
    pub version: i64,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub body: T,
}

/// The document, field by field. Company and mode stand at the top level, where indexes find them.
#[derive(Serialize, Deserialize)]
struct Doc<T> {
    #[serde(rename = "_id")]
    id: String,
    company_id: String,
    mode: Mode,
    version: i64,
    #[serde(with = "time")]
    created_at: Timestamp,
    #[serde(with = "time")]
    updated_at: Timestamp,
    body: T,
    #[serde(rename = "_out", default, skip_serializing_if = "Option::is_none")]
    out: Option<DateTime>,
    #[serde(rename = "_outbox", default, skip_serializing_if = "Vec::is_empty", skip_deserializing)]
    outbox: Vec<outbox::Entry>,
}

impl<T> From<Doc<T>> for Stored<T> {
    fn from(doc: Doc<T>) -> Self {
        let Doc { id, company_id, mode, version, created_at, updated_at, body, out: _, outbox: _ } = doc;
        Self { id, scope: Scope { company: company_id, mode }, version, created_at, updated_at, body }
    }
}

/// The records of one kind.
pub struct Repo<T> {
    pub(crate) raw: Collection<RawDocumentBuf>,
    pub(crate) clock: SharedClock,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Repo<T> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), clock: self.clock.clone(), kind: PhantomData }
    }
}

impl<T: Record> Repo<T> {
    /// Opens the collection and makes its indexes. A database that is down or slow is waited for, about a minute.
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self> {
        let raw = db.collection::<RawDocumentBuf>(T::COLLECTION);
        // Lists go by id within a company and mode; the relay finds what has events.
        let mut indexes =
            vec![Index::on(&["_id"]), Index::global(&["_out"]).partial(doc! { "_out": { "$exists": true } })];
        indexes.extend(T::indexes());
        let indexes: Vec<_> = indexes.into_iter().map(Index::model).collect();
        (|| async { raw.create_indexes(indexes.clone()).await.map_err(Self::error) })
            .retry(ConstantBuilder::new().with_delay(Duration::from_secs(1)).with_max_times(10))
            .when(|e| matches!(e, Error::Unavailable(_)))
            .await?;
        Ok(Self { raw, clock, kind: PhantomData })
    }

    pub(crate) fn error(error: mongodb::error::Error) -> Error {
        Error::of(error, T::NOUN)
    }

    /// One record by id.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<T>> {
        self.find(scope, doc! { "_id": id }).await?.ok_or(Error::NotFound(T::NOUN))
    }

    /// The first record that matches.
    pub async fn find(&self, scope: &Scope, filter: Document) -> Result<Option<Stored<T>>> {
        let found = self.raw.find_one(scoped(scope, filter)).await.map_err(Self::error)?;
        found.as_ref().map(read).transpose()
    }

    /// The first that matches in this order, of what no change of the primary can take back.
    pub async fn first_settled(
        &self,
        scope: &Scope,
        filter: Document,
        sort: Document,
    ) -> Result<Option<Stored<T>>> {
        let found = self.raw.find_one(scoped(scope, filter)).sort(sort).read_concern(ReadConcern::majority());
        found.await.map_err(Self::error)?.as_ref().map(read).transpose()
    }

    /// Records by id, in no order; those that are not there are left out.
    pub async fn get_many(&self, scope: &Scope, ids: &[String]) -> Result<Vec<Stored<T>>> {
        let mut cursor =
            self.raw.find(scoped(scope, doc! { "_id": { "$in": ids } })).await.map_err(Self::error)?;
        let mut found = Vec::with_capacity(ids.len());
        while let Some(raw) = cursor.try_next().await.map_err(Self::error)? {
            found.push(read(&raw)?);
        }
        Ok(found)
    }

    /// A page of what matches.
    pub async fn list(
        &self,
        scope: &Scope,
        filter: Document,
        sort: Sort,
        page: &PageRequest,
    ) -> Result<Page<Stored<T>>> {
        let list = scoped(scope, filter);
        let mut query = list.clone();
        if let Some(cursor) = &page.cursor {
            let after = sort.after(&Mark::open(cursor, &list, sort)?);
            query = doc! { "$and": [query, after] };
        }
        let limit = page.limit() as usize;
        // One more than asked for says whether there is a next page.
        let found = self.raw.find(query).sort(sort.document()).limit(limit as i64 + 1);
        let mut raws: Vec<RawDocumentBuf> =
            found.await.map_err(Self::error)?.try_collect().await.map_err(Self::error)?;
        let next_cursor = if raws.len() > limit {
            raws.truncate(limit);
            let last =
                raws.last().map(|raw| Document::from_reader(raw.as_bytes())).transpose()?.unwrap_or_default();
            Some(sort.mark(last.get_str("_id").unwrap_or_default(), &last).seal(&list, sort)?)
        } else {
            None
        };
        Ok(Page { items: raws.iter().map(read).collect::<Result<_>>()?, next_cursor })
    }

    /// How many match.
    pub async fn count(&self, scope: &Scope, filter: Document) -> Result<u64> {
        self.raw.count_documents(scoped(scope, filter)).await.map_err(Self::error)
    }

    /// Adds a record, with its events in the same write.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<Stored<T>> {
        let tells = !events.is_empty();
        let (raw, stored) = self.new_document(scope, id, body, events)?;
        self.raw.insert_one(raw).await.map_err(Self::error)?;
        Self::wake(tells);
        Ok(stored)
    }

    /// The same inside a transaction.
    pub async fn insert_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: String,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<Stored<T>> {
        tx.will_tell::<T>(&events);
        let (raw, stored) = self.new_document(scope, id, body, events)?;
        self.raw.insert_one(raw).session(tx.session()).await.map_err(Self::error)?;
        Ok(stored)
    }

    /// Adds many records in one command, unordered; an answer for each, in the order given.
    pub async fn insert_many(
        &self,
        scope: &Scope,
        records: Vec<(String, T, Vec<Outgoing>)>,
    ) -> Result<Vec<Result<()>>> {
        let items = records.into_iter().map(|(id, body, events)| (scope.clone(), id, body, events)).collect();
        self.insert_across(items).await
    }

    /// Adds many records of any companies in one command: what grouped inserts and relays write together.
    pub async fn insert_across(
        &self,
        records: Vec<(Scope, String, T, Vec<Outgoing>)>,
    ) -> Result<Vec<Result<()>>> {
        let tells = records.iter().any(|(.., events)| !events.is_empty());
        let mut raws = Vec::with_capacity(records.len());
        for (scope, id, body, events) in records {
            raws.push(self.new_document(&scope, id, body, events)?.0);
        }
        let answers = grouped::insert_documents(&self.raw, T::NOUN, raws).await?;
        Self::wake(tells);
        Ok(answers)
    }

    /// Adds records in this order in one command; the first that cannot be added ends it.
    pub async fn insert_in_order(&self, scope: &Scope, records: Vec<(String, T)>) -> Result<()> {
        let raws =
            records.into_iter().map(|(id, body)| Ok(self.new_document(scope, id, body, Vec::new())?.0));
        let raws: Vec<_> = raws.collect::<Result<_>>()?;
        self.raw.insert_many(raws).ordered(true).await.map_err(Self::error)?;
        Ok(())
    }

    pub(crate) fn wake(tells: bool) {
        if tells {
            outbox::wake(T::COLLECTION);
        }
    }

    pub(crate) fn new_document(
        &self,
        scope: &Scope,
        id: String,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<(RawDocumentBuf, Stored<T>)> {
        let now = self.clock.now();
        let document = Doc {
            id,
            company_id: scope.company.clone(),
            mode: scope.mode,
            version: 1,
            created_at: now,
            updated_at: now,
            body,
            out: (!events.is_empty()).then(|| time::to_bson(now)),
            outbox: events.into_iter().map(outbox::Entry::from).collect(),
        };
        let raw = bson::serialize_to_raw_document_buf(&document)?;
        Ok((raw, document.into()))
    }

    /// Writes a changed body, if the record still has the version that was read.
    pub async fn replace(&self, read: &Stored<T>, body: T, events: Vec<Outgoing>) -> Result<Stored<T>> {
        let tells = !events.is_empty();
        let (filter, update, stored) = self.replacement(read, body, events)?;
        let done = self.raw.update_one(filter, update).await.map_err(Self::error)?;
        if done.matched_count > 0 {
            Self::wake(tells);
            return Ok(stored);
        }
        // Which of the two it was is worth a read: the caller acts differently.
        self.get(&read.scope, &read.id).await?;
        Err(Error::Stale(T::NOUN))
    }

    /// The same inside a transaction.
    pub async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<T>,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<Stored<T>> {
        tx.will_tell::<T>(&events);
        let (filter, update, stored) = self.replacement(read, body, events)?;
        let done = self.raw.update_one(filter, update).session(tx.session()).await.map_err(Self::error)?;
        if done.matched_count == 0 { Err(Error::Stale(T::NOUN)) } else { Ok(stored) }
    }

    fn replacement(
        &self,
        read: &Stored<T>,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<(Document, Document, Stored<T>)> {
        let now = self.clock.now();
        let filter = scoped(&read.scope, doc! { "_id": &read.id, "version": read.version });
        let set = doc! { "body": bson::serialize_to_bson(&body)? };
        let update = self.with_events(doc! { "$set": set }, now, events)?;
        let stored = Stored { version: read.version + 1, updated_at: now, body, ..read.clone() };
        Ok((filter, update, stored))
    }

    /// One conditional write: changes the record if it (still) matches `guard`, and answers it as it then is. None when
    /// it does not match.
    pub async fn update(
        &self,
        scope: &Scope,
        id: &str,
        guard: Document,
        update: Document,
        events: Vec<Outgoing>,
    ) -> Result<Option<Stored<T>>> {
        let tells = !events.is_empty();
        let (filter, update) = self.conditional(scope, id, guard, update, events)?;
        let found = self.raw.find_one_and_update(filter, update).return_document(ReturnDocument::After).await;
        let found = found.map_err(Self::error)?;
        Self::wake(tells);
        found.as_ref().map(read).transpose()
    }

    /// The same inside a transaction.
    pub async fn update_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: &str,
        guard: Document,
        update: Document,
        events: Vec<Outgoing>,
    ) -> Result<Option<Stored<T>>> {
        tx.will_tell::<T>(&events);
        let (filter, update) = self.conditional(scope, id, guard, update, events)?;
        let found = self.raw.find_one_and_update(filter, update).return_document(ReturnDocument::After);
        let found = found.session(tx.session()).await.map_err(Self::error)?;
        found.as_ref().map(read).transpose()
    }

    fn conditional(
        &self,
        scope: &Scope,
        id: &str,
        guard: Document,
        update: Document,
        events: Vec<Outgoing>,
    ) -> Result<(Document, Document)> {
        let mut filter = guard;
        filter.insert("_id", id);
        Ok((scoped(scope, filter), self.with_events(update, self.clock.now(), events)?))
    }

    /// The same change for every record that matches; how many.
    pub async fn update_many(&self, scope: &Scope, filter: Document, update: Document) -> Result<u64> {
        let update = self.with_events(update, self.clock.now(), Vec::new())?;
        Ok(self.raw.update_many(scoped(scope, filter), update).await.map_err(Self::error)?.modified_count)
    }

    /// The same inside a transaction.
    pub async fn update_many_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        filter: Document,
        update: Document,
    ) -> Result<u64> {
        let update = self.with_events(update, self.clock.now(), Vec::new())?;
        let done = self.raw.update_many(scoped(scope, filter), update).session(tx.session()).await;
        Ok(done.map_err(Self::error)?.modified_count)
    }

    /// Adds the record, or writes its body where one of this id is there already.
    pub async fn upsert(
        &self,
        scope: &Scope,
        id: String,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<Stored<T>> {
        let tells = !events.is_empty();
        let now = self.clock.now();
        let mut update =
            self.with_events(doc! { "$set": { "body": bson::serialize_to_bson(&body)? } }, now, events)?;
        update.insert("$setOnInsert", doc! { "created_at": time::to_bson(now) });
        let filter = scoped(scope, doc! { "_id": &id });
        let found = self
            .raw
            .find_one_and_update(filter, update)
            .upsert(true)
            .return_document(ReturnDocument::After)
            .await;
        Self::wake(tells);
        found.map_err(Self::error)?.as_ref().map(read).transpose()?.ok_or(Error::NotFound(T::NOUN))
    }

    /// Version, date and events, added to an update.
    pub(crate) fn with_events(
        &self,
        mut update: Document,
        now: Timestamp,
        events: Vec<Outgoing>,
    ) -> Result<Document> {
        let now = time::to_bson(now);
        add(&mut update, "$set", "updated_at", now.into());
        add(&mut update, "$inc", "version", Bson::Int64(1));
        if !events.is_empty() {
            let entries: Vec<_> = events.into_iter().map(outbox::Entry::from).collect();
            add(&mut update, "$set", "_out", now.into());
            add(
                &mut update,
                "$push",
                "_outbox",
                bson::serialize_to_bson(&doc! { "$each": bson::serialize_to_bson(&entries)? })?,
            );
        }
        Ok(update)
    }

    /// Takes a record away for good. Records that people archive are not removed but changed.
    pub async fn remove(&self, scope: &Scope, id: &str) -> Result<bool> {
        let done = self.raw.delete_one(scoped(scope, doc! { "_id": id })).await.map_err(Self::error)?;
        Ok(done.deleted_count > 0)
    }

    /// Takes every record away that matches; how many.
    pub async fn remove_many(&self, scope: &Scope, filter: Document) -> Result<u64> {
        Ok(self.raw.delete_many(scoped(scope, filter)).await.map_err(Self::error)?.deleted_count)
    }

    /// Runs a pipeline over the company's records.
    pub async fn aggregate(&self, scope: &Scope, pipeline: Vec<Document>) -> Result<Vec<Document>> {
        let first = doc! { "$match": scoped(scope, Document::new()) };
        let cursor = self.raw.aggregate(std::iter::once(first).chain(pipeline)).await.map_err(Self::error)?;
        cursor.try_collect().await.map_err(Self::error)
    }

    /// All companies' records, for jobs. What it finds says whose it is.
    pub fn across(&self) -> Across<'_, T> {
        Across::over(self)
    }

    /// How the database would run a scoped query: for tests that no hot path scans a collection.
    pub async fn explain(
        &self,
        db: &Database,
        scope: &Scope,
        filter: Document,
        sort: Sort,
    ) -> Result<Document> {
        let find = doc! { "find": T::COLLECTION, "filter": scoped(scope, filter), "sort": sort.document() };
        db.run_command(doc! { "explain": find, "verbosity": "queryPlanner" }).await.map_err(Self::error)
    }
}

/// Company and mode before everything else.
fn scoped(scope: &Scope, filter: Document) -> Document {
    let mut query = doc! { "company_id": &scope.company, "mode": scope.mode.as_str() };
    query.extend(filter);
    // A filter that brings its own company would widen the query; ours are put last again.
    query.insert("company_id", &scope.company);
    query.insert("mode", scope.mode.as_str());
    query
}

/// Sets one field of one operator of an update.
fn add(update: &mut Document, operator: &str, field: &str, value: Bson) {
    match update.get_document_mut(operator) {
        Ok(fields) => {
            fields.insert(field, value);
        }
        Err(_) => {
            update.insert(operator, doc! { field: value });
        }
    }
}

pub(crate) fn read<T: DeserializeOwned>(raw: &RawDocumentBuf) -> Result<Stored<T>> {
    Ok(bson::deserialize_from_slice::<Doc<T>>(raw.as_bytes())?.into())
}
