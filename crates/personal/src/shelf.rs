//! Where records of a person lie: counted, handed out or emptied without knowing what they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bson::{Bson, Document, RawDocumentBuf, doc};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use kit::Scope;
use mongodb::{Collection, Database};
use serde_json::{Map, Value};

use crate::order::{Done, How, Part};

/// Records of one kind that are somebody's.
#[derive(Clone, Debug)]
pub struct Shelf {
    /// What they are called in receipts and files.
    pub what: &'static str,
    pub collection: &'static str,
    /// Whose they are, within company and mode.
    pub filter: Document,
    pub erase: Erase,
}

/// What an erasure does to them.
#[derive(Clone, Debug)]
pub enum Erase {
    Remove,
    /// Stages of an update that leave nothing personal in them.
    Empty(Vec<Document>),
    /// They hold nothing personal: why they stay.
    Keep(&'static str),
    /// Somebody else sees to them: [`crate::Holder::erase`].
    Apart,
}

impl Shelf {
    pub fn new(what: &'static str, collection: &'static str, filter: Document, erase: Erase) -> Self {
        Self { what, collection, filter, erase }
    }

    fn at(&self, db: &Database, scope: &Scope) -> (Collection<RawDocumentBuf>, Document) {
        let mut query = self.filter.clone();
        // Last, so that no filter reaches over them.
        query.insert("company_id", &scope.company);
        query.insert("mode", scope.mode.as_str());
        (db.collection(self.collection), query)
    }

    /// How many there are.
    pub async fn count(&self, db: &Database, scope: &Scope) -> anyhow::Result<Part> {
        let (collection, query) = self.at(db, scope);
        Ok(Part::of(Done::new(self.what, How::Found, collection.count_documents(query).await?)))
    }

    /// Leaves nothing personal on it. Done again, it finds nothing more to do.
    pub async fn empty(&self, db: &Database, scope: &Scope) -> anyhow::Result<Part> {
        let (collection, query) = self.at(db, scope);
        let done = match &self.erase {
            Erase::Remove => {
                Done::new(self.what, How::Removed, collection.delete_many(query).await?.deleted_count)
            }
            Erase::Empty(stages) => {
                // Whoever has read one of them meanwhile does not write it back.
                let version = doc! { "$add": [{ "$ifNull": ["$version", 0_i64] }, 1_i64] };
                let mut stages = stages.clone();
                stages.push(doc! { "$set": { "version": version } });
                Done::new(self.what, How::Emptied, collection.update_many(query, stages).await?.matched_count)
            }
            Erase::Keep(why) => {
                let kept = Done::new(self.what, How::Kept, collection.count_documents(query).await?);
                Done { why: (*why).to_owned(), ..kept }
            }
            Erase::Apart => return Ok(Part::default()),
        };
        Ok(Part::of(done))
    }

    fn records(&self, db: &Database, scope: &Scope) -> BoxStream<'static, anyhow::Result<Value>> {
        let (collection, query) = self.at(db, scope);
        let found = async move {
            let cursor = collection.find(query).await?;
            Ok::<_, anyhow::Error>(cursor.map_err(anyhow::Error::from).and_then(|raw| {
                let read = Document::try_from(&*raw).map(|d| json(Bson::Document(d)));
                std::future::ready(read.map_err(anyhow::Error::from))
            }))
        };
        stream::once(found).try_flatten().boxed()
    }
}

/// All of it as one JSON object, kind of record → records, a record at a time.
pub fn file(db: &Database, scope: &Scope, shelves: Vec<Shelf>) -> BoxStream<'static, anyhow::Result<Bytes>> {
    let mut kinds: Vec<(&'static str, Vec<Shelf>)> = Vec::new();
    for shelf in shelves {
        match kinds.iter_mut().find(|(what, _)| *what == shelf.what) {
            Some((_, of)) => of.push(shelf),
            None => kinds.push((shelf.what, vec![shelf])),
        }
    }
    let text = |t: String| stream::once(std::future::ready(Ok(Bytes::from(t))));
    let (db, scope) = (db.clone(), scope.clone());
    let parts = kinds.into_iter().enumerate().map(move |(at, (what, shelves))| {
        let begins = if at == 0 { "{" } else { "," };
        let records: Vec<_> = shelves.iter().map(|s| s.records(&db, &scope)).collect();
        let records = stream::iter(records).flatten().enumerate().map(|(at, record)| {
            let comma = if at == 0 { "" } else { "," };
            Ok(Bytes::from(format!("{comma}{}", record?)))
        });
        text(format!("{begins}\"{what}\":[")).chain(records).chain(text("]".into())).boxed()
    });
    stream::iter(parts).flatten().chain(text("}".into())).boxed()
}

/// A stored value as somebody reads it: times as RFC 3339, no marks of ours.
fn json(value: Bson) -> Value {
    match value {
        Bson::String(text) | Bson::Symbol(text) => Value::String(text),
        Bson::Boolean(b) => Value::Bool(b),
        Bson::Int32(n) => n.into(),
        Bson::Int64(n) => n.into(),
        Bson::Double(n) => n.into(),
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::DateTime(at) => at.try_to_rfc3339_string().unwrap_or_default().into(),
        Bson::Binary(bytes) => STANDARD.encode(bytes.bytes).into(),
        Bson::Array(all) => all.into_iter().map(json).collect(),
        Bson::Document(fields) => {
            let own = |name: &String| matches!(name.as_str(), "_out" | "_outbox");
            let shown = fields.into_iter().filter(|(name, _)| !own(name));
            Value::Object(shown.map(|(name, value)| (name, json(value))).collect::<Map<_, _>>())
        }
        other => Value::String(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as said;

    #[test]
    fn a_record_is_shown_as_people_read_it() {
        let at = bson::DateTime::from_millis(1_700_000_000_000);
        let stored = doc! { "_id": "mal_1", "at": at, "n": 5_i64, "_outbox": [{ "body": "x" }], "list": [true, Bson::Null] };
        let shown = said!({ "_id": "mal_1", "at": "2023-11-14T22:13:20Z", "n": 5, "list": [true, null] });
        assert_eq!(json(stored.into()), shown);
    }
}
