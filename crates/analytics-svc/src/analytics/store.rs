//! The read model: sessions, turns of subscriptions, redemptions. Each write says which event it comes from, so an
//! older or repeated event changes nothing.

use std::collections::BTreeMap;

use bson::{Document, doc};
use futures_util::TryStreamExt;
use kit::{Scope, SharedClock};
use mongodb::options::{IndexOptions, WriteConcern};
use mongodb::{Collection, Database, IndexModel};
use serde::Deserialize;

use super::model::{Heard, Query, Redemption, Session, SessionTold, Turn};
use crate::error::Error;

pub const SESSIONS: &str = "flow_sessions";
const TURNS: &str = "subscription_turns";
const REDEMPTIONS: &str = "redemptions";
/// A document of this id is there: what it holds is newer.
const DUPLICATE: i32 = 11_000;

#[derive(Clone)]
pub struct ReportStore {
    db: Database,
    sessions: Collection<Document>,
    clock: SharedClock,
}

#[derive(Deserialize)]
struct Row {
    body: SessionTold,
    #[serde(default)]
    turns: Vec<TurnsRow>,
    #[serde(default)]
    redemptions: Vec<RedemptionRow>,
}

#[derive(Deserialize)]
struct TurnsRow {
    body: BTreeMap<String, Turn>,
}

#[derive(Deserialize)]
struct RedemptionRow {
    body: Redemption,
}

impl ReportStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, Error> {
        let index = |name: &str, keys: Document| {
            let options = IndexOptions::builder().name(name.to_owned()).build();
            IndexModel::builder().keys(keys).options(options).build()
        };
        let sessions = db.collection::<Document>(SESSIONS);
        let by_start = doc! { "company_id": 1, "mode": 1, "body.started_at": 1 };
        sessions.create_index(index("by_start", by_start)).await.map_err(failed)?;
        let by_customer = doc! { "company_id": 1, "mode": 1, "body.customer": 1 };
        sessions.create_index(index("by_customer", by_customer)).await.map_err(failed)?;
        let redemptions = db.collection::<Document>(REDEMPTIONS);
        redemptions.create_index(index("by_session", doc! { "body.session": 1 })).await.map_err(failed)?;
        Ok(Self { db: db.clone(), sessions, clock })
    }

    pub async fn hear(&self, scope: &Scope, heard: Vec<Heard>) -> Result<(), Error> {
        let mut writes: BTreeMap<&str, Vec<Document>> = BTreeMap::new();
        let now = store::time::to_bson(self.clock.now());
        for one in heard {
            let (collection, id, set, sequence) = match one {
                Heard::Session { id, sequence, told } => {
                    let body = bson::serialize_to_bson(&told).map_err(store::Error::from)?;
                    (SESSIONS, id, doc! { "body": body }, Some(sequence))
                }
                Heard::Redemption { id, sequence, told } => {
                    let body = bson::serialize_to_bson(&told).map_err(store::Error::from)?;
                    (REDEMPTIONS, id, doc! { "body": body }, Some(sequence))
                }
                Heard::Subscription { id, sequence, gone, at } => {
                    let turn = bson::serialize_to_bson(&Turn { at, gone }).map_err(store::Error::from)?;
                    (TURNS, id, doc! { format!("body.{sequence}"): turn }, None)
                }
            };
            let mut q = doc! { "_id": id, "company_id": &scope.company, "mode": scope.mode.as_str() };
            let mut set = set;
            set.insert("updated_at", now);
            if let Some(sequence) = sequence {
                q.insert("sequence", doc! { "$lte": sequence });
                set.insert("sequence", sequence);
            }
            let u = doc! { "$set": set, "$setOnInsert": { "created_at": now }, "$inc": { "version": 1_i64 } };
            writes.entry(collection).or_default().push(doc! { "q": q, "u": u, "upsert": true });
        }
        for (collection, updates) in writes {
            self.update(collection, updates).await?;
        }
        Ok(())
    }

    /// One command. What an older event says meets a newer document and is refused as a second one of its id.
    async fn update(&self, collection: &str, updates: Vec<Document>) -> Result<(), Error> {
        let command = doc! { "update": collection, "updates": updates, "ordered": false,
        "writeConcern": bson::serialize_to_bson(&WriteConcern::majority()).map_err(store::Error::from)? };
        let reply = self.db.run_command(command).await.map_err(failed)?;
        let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        let serious =
            errors.iter().find(|e| e.as_document().and_then(|d| d.get_i32("code").ok()) != Some(DUPLICATE));
        match serious {
            None => Ok(()),
            Some(e) => Err(Error::Internal(anyhow::anyhow!("a write of the read model failed: {e}"))),
        }
    }

    /// Hands every session a query asks for to `each`.
    pub async fn sessions(
        &self,
        scope: &Scope,
        query: &Query,
        mut each: impl FnMut(Session),
    ) -> Result<(), Error> {
        let Query { from, to, include_holdout, persona, reason_category, offer } = query;
        let date = |t: &kit::Timestamp| store::time::to_bson(*t);
        let mut filter = doc! {
            "company_id": &scope.company,
            "mode": scope.mode.as_str(),
            "body.started_at": { "$gte": date(from), "$lt": date(to) },
        };
        if !include_holdout {
            filter.insert("body.holdout", false);
        }
        for (field, wanted) in
            [("body.personas", persona), ("body.reason_category", reason_category), ("body.offers", offer)]
        {
            if let Some(wanted) = wanted {
                filter.insert(field, wanted);
            }
        }
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$lookup": { "from": TURNS, "localField": "body.subscription", "foreignField": "_id", "as": "turns" } },
            doc! { "$lookup": { "from": REDEMPTIONS, "localField": "_id", "foreignField": "body.session", "as": "redemptions" } },
        ];
        let mut cursor = self.sessions.aggregate(pipeline).with_type::<Row>().await.map_err(failed)?;
        while let Some(Row { body, turns, redemptions }) = cursor.try_next().await.map_err(failed)? {
            let turns = turns.into_iter().flat_map(|t| t.body);
            each(Session {
                told: body,
                turns: turns.filter_map(|(sequence, turn)| Some((sequence.parse().ok()?, turn))).collect(),
                redemptions: redemptions.into_iter().map(|r| r.body).collect(),
            });
        }
        Ok(())
    }
}

fn failed(error: mongodb::error::Error) -> Error {
    store::Error::of(error, "session").into()
}
