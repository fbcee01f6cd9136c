//! Where the company's own answers are kept (those of customers are kept with their visits), and how answers are counted
//! in the database.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo, Sort, Stored};

use super::summary::Tally;
use crate::engine::Answer;

/// What the company answered of one questionnaire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intake {
    pub questionnaire_id: String,
    /// The version that was asked last.
    pub number: u32,
    /// The later answer to a question counts.
    pub answers: BTreeMap<String, Answer>,
    /// Every answering, as it was: nothing is taken away.
    pub given: Vec<Given>,
}

/// One answering.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Given {
    pub at: Timestamp,
    pub by: String,
    pub number: u32,
    pub answers: BTreeMap<String, Answer>,
}

impl Record for Intake {
    const COLLECTION: &'static str = "questionnaire_responses";
    const NOUN: &'static str = "response";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.questionnaire_id"]).unique()]
    }
}

/// Which responses are asked for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Only those who answered this question.
    pub question: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Asked {
    /// As a query; `answers`: the field that holds them.
    pub fn query(&self, mut query: Document, answers: &str) -> Document {
        if let Some(question) = &self.question {
            query.insert(format!("{answers}.{question}"), doc! { "$exists": true });
        }
        let mut began = Document::new();
        if let Some(since) = self.since {
            began.insert("$gte", store::time::to_bson(since));
        }
        if let Some(until) = self.until {
            began.insert("$lt", store::time::to_bson(until));
        }
        if !began.is_empty() {
            query.insert("created_at", began);
        }
        query
    }
}

/// Counts the answers of what matches: one row for each question and set of keys. Free words do not leave the database.
pub fn tally(these: Document, answers: &str) -> Vec<Document> {
    let scale = doc! { "$cond": [
        { "$isNumber": "$a.v.scale" }, [{ "$toString": "$a.v.scale" }], Bson::Null,
    ] };
    let keys = doc! { "$cond": [{ "$isArray": "$a.v.choices" }, "$a.v.choices", scale] };
    vec![
        doc! { "$match": these },
        doc! { "$project": { "a": { "$objectToArray": format!("${answers}") } } },
        doc! { "$unwind": "$a" },
        doc! { "$group": { "_id": { "question": "$a.k", "keys": keys }, "count": { "$sum": 1_i64 } } },
    ]
}

/// A row of that.
pub fn tallied(row: &Document) -> Option<Tally> {
    let id = row.get_document("_id").ok()?;
    let keys = id.get_array("keys").ok();
    Some(Tally {
        question: id.get_str("question").ok()?.to_owned(),
        keys: keys.map(|keys| keys.iter().filter_map(Bson::as_str).map(str::to_owned).collect()),
        count: u64::try_from(row.get_i64("count").ok()?).ok()?,
    })
}

const ANSWERS: &str = "body.answers";

/// The company's own answers.
#[derive(Clone)]
pub struct IntakeStore(Repo<Intake>);

impl IntakeStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    pub async fn of(
        &self,
        scope: &Scope,
        questionnaire: &str,
    ) -> Result<Option<Stored<Intake>>, store::Error> {
        self.0.find(scope, doc! { "body.questionnaire_id": questionnaire }).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        intake: Intake,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Intake>, store::Error> {
        self.0.insert(scope, kit::id::new("qrs"), intake, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Intake>,
        intake: Intake,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Intake>, store::Error> {
        self.0.replace(read, intake, events).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        questionnaire: &str,
        asked: &Asked,
        page: &PageRequest,
    ) -> Result<Page<Stored<Intake>>, store::Error> {
        let query = asked.query(doc! { "body.questionnaire_id": questionnaire }, ANSWERS);
        self.0.list(scope, query, Sort::Newest, page).await
    }

    /// How many answered, how many of them all of `required`, and the answers counted.
    pub async fn counted(
        &self,
        scope: &Scope,
        questionnaire: &str,
        asked: &Asked,
        required: &[&str],
    ) -> Result<(u64, u64, Vec<Tally>), store::Error> {
        let these = asked.query(doc! { "body.questionnaire_id": questionnaire }, ANSWERS);
        counted(&self.0, scope, these, ANSWERS, required).await
    }
}

/// The same over any records that hold answers.
pub async fn counted<T: Record>(
    records: &Repo<T>,
    scope: &Scope,
    these: Document,
    answers: &str,
    required: &[&str],
) -> Result<(u64, u64, Vec<Tally>), store::Error> {
    let mut whole = these.clone();
    for key in required {
        whole.insert(format!("{answers}.{key}"), doc! { "$exists": true });
    }
    let (all, complete) = (records.count(scope, these.clone()).await?, records.count(scope, whole).await?);
    let rows = records.aggregate(scope, tally(these, answers)).await?;
    Ok((all, complete, rows.iter().filter_map(tallied).collect()))
}
