//! The collections of datasets, uploads and rows. A row's id is dataset, key and period, so that its only index serves
//! the import, the customer's page and the taking back.

use bson::raw::CString;
use bson::{Document, RawBson, RawBsonRef, RawDocumentBuf, cstr, doc};
use futures_util::TryStreamExt;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::error::ErrorKind;
use mongodb::options::WriteConcern;
use mongodb::{Collection, Database};
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Dataset, State, Upload};
use super::reader::Row;
use crate::error::Error;
use crate::rules::{Facts, Value};

pub const ROWS: &str = "usage_rows";
const DUPLICATE: i32 = 11_000;
/// How many overwriting uploads a row remembers.
const REMEMBERED: i32 = 20;

impl Record for Dataset {
    const COLLECTION: &'static str = "usage_datasets";
    const NOUN: &'static str = "dataset";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.name"]).unique()]
    }
}

impl Record for Upload {
    const COLLECTION: &'static str = "usage_uploads";
    const NOUN: &'static str = "upload";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.same_as"]).unique(),
            Index::on(&["body.dataset", "-_id"]),
            Index::on(&["body.state", "_id"]),
        ]
    }
}

/// A row as kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub key: String,
    pub period: String,
    pub values: Facts,
    pub upload: String,
    pub updated_at: Timestamp,
}

#[derive(Clone)]
pub struct UsageStore {
    pub(super) datasets: Repo<Dataset>,
    pub(super) uploads: Repo<Upload>,
    rows: Collection<RawDocumentBuf>,
    db: Database,
}

impl UsageStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, Error> {
        let options = mongodb::options::CollectionOptions::builder().write_concern(WriteConcern::majority());
        Ok(Self {
            datasets: Repo::open(db, clock.clone()).await?,
            uploads: Repo::open(db, clock).await?,
            rows: db.collection_with_options(ROWS, options.build()),
            db: db.clone(),
        })
    }

    pub async fn dataset(&self, scope: &Scope, name: &str) -> Result<Option<Stored<Dataset>>, Error> {
        Ok(self.datasets.find(scope, doc! { "body.name": name }).await?)
    }

    pub async fn uploads(
        &self,
        scope: &Scope,
        dataset: Option<String>,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Upload>>, Error> {
        let mut filter = Document::new();
        if let Some(dataset) = dataset {
            filter.insert("body.dataset", dataset);
        }
        if let Some(state) = state {
            filter.insert("body.state", state.as_str());
        }
        Ok(self.uploads.list(scope, filter, Sort::Newest, page).await?)
    }

    /// Uploads that are over and whose files are there.
    pub async fn with_files(&self, scope: &Scope) -> Result<Vec<Stored<Upload>>, Error> {
        let over = State::OVER.map(State::as_str);
        let query = doc! { "body.state": { "$in": over.to_vec() }, "body.file_gone": { "$ne": true } };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.uploads.list(scope, query, Sort::Oldest, &page).await?.items)
    }

    pub async fn file_gone(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let update = doc! { "$set": { "body.file_gone": true } };
        self.uploads.update(scope, id, doc! {}, update, Vec::new()).await?;
        Ok(())
    }

    /// The upload that holds a file already.
    pub async fn same_as(&self, scope: &Scope, same_as: &str) -> Result<Option<Stored<Upload>>, Error> {
        Ok(self.uploads.find(scope, doc! { "body.same_as": same_as }).await?)
    }

    pub async fn replace(
        &self,
        read: &Stored<Upload>,
        upload: Upload,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Upload>, Error> {
        Ok(self.uploads.replace(read, upload, events).await?)
    }

    /// Tells the others something of an upload that its record does not say.
    pub async fn tell(&self, scope: &Scope, id: &str, event: Outgoing) -> Result<(), Error> {
        self.uploads.update(scope, id, doc! {}, doc! {}, vec![event]).await?;
        Ok(())
    }

    /// Writes rows of an upload. New ones go in as they are; one that is there is overwritten and keeps what it said.
    /// Writing the same rows of the same upload again changes nothing.
    pub async fn write(&self, scope: &Scope, chunk: &Chunk, rows: Vec<Row>) -> Result<(), Error> {
        let documents: Vec<_> = rows.iter().map(|row| chunk.document(scope, row)).collect();
        let Err(error) = self.rows.insert_many(documents).ordered(false).await else { return Ok(()) };
        let there = match error.kind.as_ref() {
            ErrorKind::InsertMany(many) if many.write_concern_error.is_none() => many
                .write_errors
                .iter()
                .flatten()
                .map(|e| (e.code == DUPLICATE).then_some(e.index))
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let Some(mut there) = there else { return Err(failed(error)) };
        // In the order of the file: of two rows with one key the later one stands.
        there.sort_unstable();
        let updates: Vec<_> =
            there.into_iter().filter_map(|i| rows.get(i)).map(|r| chunk.overwrite(scope, r)).collect();
        if updates.is_empty() {
            return Ok(());
        }
        let command = doc! { "update": ROWS, "updates": updates, "ordered": true,
        "writeConcern": { "w": "majority" } };
        let reply = self.db.run_command(command).await.map_err(failed)?;
        match reply.get_array("writeErrors") {
            Ok(errors) if !errors.is_empty() => {
                Err(Error::Internal(anyhow::anyhow!("rows were not written: {:?}", errors.first())))
            }
            _ => Ok(()),
        }
    }

    /// The rows of a dataset by key and period, after a row, at most so many.
    pub async fn rows(
        &self,
        scope: &Scope,
        dataset: &str,
        after: &str,
        limit: i64,
    ) -> Result<Vec<(String, Kept)>, Error> {
        let range = doc! { "$gt": if after.is_empty() { format!("{dataset}/") } else { after.to_owned() },
        "$lt": format!("{dataset}0") };
        let query = bound(scope, doc! { "_id": range });
        let found = self.rows.find(query).sort(doc! { "_id": 1 }).limit(limit);
        let raws: Vec<_> = found.await.map_err(failed)?.try_collect().await.map_err(failed)?;
        raws.iter().map(read).collect()
    }

    /// What a dataset says of a key, newest period first.
    pub async fn of_key(&self, scope: &Scope, dataset: &str, key: &str) -> Result<Vec<Kept>, Error> {
        let range = doc! { "$gte": format!("{dataset}/{key}/"), "$lt": format!("{dataset}/{key}0") };
        let query = bound(scope, doc! { "_id": range });
        let found = self.rows.find(query).sort(doc! { "_id": -1 }).limit(1_000);
        let raws: Vec<_> = found.await.map_err(failed)?.try_collect().await.map_err(failed)?;
        let rows: Result<Vec<_>, _> = raws.iter().map(read).collect();
        // Another key may begin with this one and a slash.
        Ok(rows?.into_iter().map(|(_, kept)| kept).filter(|k| k.key == key).collect())
    }

    /// Whether an upload that came later overwrote rows of this one.
    pub async fn touched_later(&self, scope: &Scope, dataset: &str, upload: &str) -> Result<bool, Error> {
        let query = bound(scope, doc! { "_id": of_dataset(dataset), "older": upload });
        Ok(self.rows.find_one(query).await.map_err(failed)?.is_some())
    }

    /// Puts back what rows said before an upload; those that were not there go. For rows up to a given one, in order.
    pub async fn put_back(&self, scope: &Scope, ids: &[String], upload: &str) -> Result<(), Error> {
        let of =
            |had: bool| bound(scope, doc! { "_id": { "$in": ids }, "u": upload, "prev": { "$exists": had } });
        self.rows.delete_many(of(false)).await.map_err(failed)?;
        let back = vec![
            doc! { "$set": { "v": "$prev.v", "u": "$prev.u", "at": "$prev.at",
            "older": { "$cond": [{ "$gt": [{ "$size": "$older" }, 1] },
                { "$slice": ["$older", { "$subtract": [{ "$size": "$older" }, 1] }] }, []] } } },
            doc! { "$unset": "prev" },
        ];
        self.rows.update_many(of(true), back).await.map_err(failed)?;
        Ok(())
    }
}

/// What all rows of a chunk share.
pub struct Chunk {
    pub dataset: String,
    pub upload: String,
    pub at: Timestamp,
    /// Names of the columns, in the order of the values.
    pub columns: Vec<CString>,
}

impl Chunk {
    fn id(&self, row: &Row) -> String {
        format!("{}/{}/{}", self.dataset, row.key, row.period)
    }

    fn values(&self, row: &Row) -> RawDocumentBuf {
        let mut values = RawDocumentBuf::new();
        for (name, value) in self.columns.iter().zip(&row.values) {
            match value {
                None => {}
                Some(Value::Bool(b)) => values.append(name, *b),
                Some(Value::Number(n)) => values.append(name, *n),
                Some(Value::Text(t)) => values.append(name, t.as_str()),
            }
        }
        values
    }

    fn document(&self, scope: &Scope, row: &Row) -> RawDocumentBuf {
        let mut d = RawDocumentBuf::new();
        d.append(cstr!("_id"), self.id(row));
        d.append(cstr!("company_id"), scope.company.as_str());
        d.append(cstr!("mode"), scope.mode.as_str());
        d.append(cstr!("v"), self.values(row));
        d.append(cstr!("u"), self.upload.as_str());
        d.append(cstr!("at"), store::time::to_bson(self.at));
        d
    }

    fn overwrite(&self, scope: &Scope, row: &Row) -> Document {
        let values = RawBson::Document(self.values(row));
        let values = bson::Bson::try_from(values).unwrap_or(bson::Bson::Null);
        let own = doc! { "$eq": ["$u", &self.upload] };
        let before = doc! { "v": "$v", "u": "$u", "at": "$at" };
        let older = doc! { "$slice": [
        { "$concatArrays": [{ "$ifNull": ["$older", []] }, ["$u"]] }, -REMEMBERED] };
        let update = doc! { "$set": {
            "prev": { "$cond": [own.clone(), { "$ifNull": ["$prev", "$$REMOVE"] }, before] },
            "older": { "$cond": [own, { "$ifNull": ["$older", "$$REMOVE"] }, older] },
            "v": { "$literal": values },
            "u": { "$literal": &self.upload },
            "at": store::time::to_bson(self.at),
        } };
        doc! { "q": bound(scope, doc! { "_id": self.id(row) }), "u": [update] }
    }
}

fn read(raw: &RawDocumentBuf) -> Result<(String, Kept), Error> {
    let broken = |e: bson::error::Error| Error::Internal(e.into());
    let mut kept = Kept {
        key: String::new(),
        period: String::new(),
        values: Facts::new(),
        upload: String::new(),
        updated_at: Timestamp::UNIX_EPOCH,
    };
    let mut id = String::new();
    for element in raw {
        let (name, value) = element.map_err(broken)?;
        match (name.as_str(), value) {
            ("_id", RawBsonRef::String(t)) => t.clone_into(&mut id),
            ("u", RawBsonRef::String(t)) => t.clone_into(&mut kept.upload),
            ("at", RawBsonRef::DateTime(t)) => kept.updated_at = store::time::from_bson(t),
            ("v", RawBsonRef::Document(values)) => {
                for element in values {
                    let (name, value) = element.map_err(broken)?;
                    let value = match value {
                        RawBsonRef::Boolean(b) => Value::Bool(b),
                        RawBsonRef::Double(n) => Value::Number(n),
                        RawBsonRef::String(t) => Value::Text(t.to_owned()),
                        _ => continue,
                    };
                    kept.values.insert(name.as_str().to_owned(), value);
                }
            }
            _ => {}
        }
    }
    // A dataset's id and a period hold no slash; a key may.
    let rest = id.split_once('/').map_or("", |(_, rest)| rest);
    let (key, period) = rest.rsplit_once('/').unwrap_or((rest, ""));
    key.clone_into(&mut kept.key);
    period.clone_into(&mut kept.period);
    Ok((id, kept))
}

/// Rows of these datasets about one of these keys, whatever the period.
pub fn about(datasets: &[String], keys: &[String]) -> Document {
    let one = |dataset: &String, key: &String| {
        let literal: String =
            key.chars().map(|c| if c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") }).collect();
        // The range is for the index. A period holds no slash; another key may begin with this one and a slash.
        doc! { "_id": {
            "$gte": format!("{dataset}/{key}/"),
            "$lt": format!("{dataset}/{key}0"),
            "$regex": format!("^{dataset}/{literal}/[^/]*$"),
        } }
    };
    let rows: Vec<_> = datasets.iter().flat_map(|d| keys.iter().map(move |k| one(d, k))).collect();
    if rows.is_empty() {
        doc! { "_id": { "$in": [] } }
    } else {
        doc! { "$or": rows }
    }
}

/// All rows of a dataset, as a range of ids: `0` is what follows `/`.
fn of_dataset(dataset: &str) -> Document {
    doc! { "$gte": format!("{dataset}/"), "$lt": format!("{dataset}0") }
}

fn bound(scope: &Scope, filter: Document) -> Document {
    let mut query = filter;
    query.insert("company_id", &scope.company);
    query.insert("mode", scope.mode.as_str());
    query
}

fn failed(error: mongodb::error::Error) -> Error {
    store::Error::of(error, "usage row").into()
}
