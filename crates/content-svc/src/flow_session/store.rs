//! Where visits are kept.

use bson::{Bson, DateTime, Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::keep::{Keeping, Whose, asked_for};
use super::model::{FlowSession, State};
use crate::questionnaire::store::counted;
use crate::questionnaire::{Asked, Tally};
use crate::workflow_run::{RunStore, WorkflowRun};

/// Where a visit keeps its answers.
const ANSWERS: &str = "body.known.answers";

impl Record for FlowSession {
    const COLLECTION: &'static str = "flow_sessions";
    const NOUN: &'static str = "flow session";

    fn indexes() -> Vec<Index> {
        let open = doc! { "body.open": true };
        vec![
            Index::on(&["body.subscription_id"]).unique().partial(open.clone()),
            Index::on(&["body.starts"]).unique(),
            Index::on(&["body.subscription_id", "-_id"]),
            Index::on(&["body.customer_id", "_id"]),
            Index::on(&["body.state", "_id"]),
            Index::on(&["body.flow.id", "body.flow.number", "created_at"]),
            Index::on(&["body.heard.questionnaire_id", "-_id"]),
            Index::global(&["body.durable.look_at"])
                .partial(doc! { "body.durable.look_at": { "$exists": true } }),
            Index::global(&["body.state", "updated_at"]).partial(open),
            Index::on(&["body.held.request_id"]).partial(doc! { "body.held": { "$exists": true } }),
            Index::global(&["body.held.until"]).partial(doc! { "body.held": { "$exists": true } }),
        ]
    }
}

/// How often customers went from one page to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trodden {
    /// None: the page they came in by.
    pub from: Option<String>,
    pub to: String,
    /// They went no further and decided nothing.
    pub left: bool,
    pub count: u64,
}

/// The visits.
#[derive(Clone)]
pub struct FlowStore {
    visits: Repo<FlowSession>,
    runs: RunStore,
    db: Database,
}

impl FlowStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        let runs = RunStore::open(db, clock.clone()).await?;
        Ok(Self { visits: Repo::open(db, clock).await?, runs, db: db.clone() })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<FlowSession>, store::Error> {
        self.visits.get(scope, id).await
    }

    /// The visit a start token led to already.
    pub async fn started_by(
        &self,
        scope: &Scope,
        start: &str,
    ) -> Result<Option<Stored<FlowSession>>, store::Error> {
        self.visits.find(scope, doc! { "body.starts": start }).await
    }

    /// The open visit of a subscription.
    pub async fn open_for(
        &self,
        scope: &Scope,
        subscription: &str,
    ) -> Result<Option<Stored<FlowSession>>, store::Error> {
        self.visits.find(scope, doc! { "body.subscription_id": subscription, "body.open": true }).await
    }

    /// The newest visit of a subscription that is over.
    pub async fn last_of(
        &self,
        scope: &Scope,
        subscription: &str,
    ) -> Result<Option<Stored<FlowSession>>, store::Error> {
        let over = doc! { "body.subscription_id": subscription, "body.open": false };
        Ok(self.visits.list(scope, over, Sort::Newest, &PageRequest::new(1, "")).await?.items.pop())
    }

    pub async fn list(
        &self,
        scope: &Scope,
        state: Option<&str>,
        customer: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<Stored<FlowSession>>, store::Error> {
        let mut query = Document::new();
        if let Some(state) = state {
            query.insert("body.state", state);
        }
        if let Some(customer) = customer {
            query.insert("body.customer_id", customer);
        }
        self.visits.list(scope, query, Sort::Newest, page).await
    }

    /// The ways customers took through one version of a workflow, counted in the database.
    pub async fn trodden(
        &self,
        scope: &Scope,
        workflow: &str,
        number: u32,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Vec<Trodden>, store::Error> {
        let mut began = Document::new();
        if let Some(since) = since {
            began.insert("$gte", store::time::to_bson(since));
        }
        if let Some(until) = until {
            began.insert("$lt", store::time::to_bson(until));
        }
        let mut these = doc! { "body.flow.id": workflow, "body.flow.number": number };
        if !began.is_empty() {
            these.insert("created_at", began);
        }
        let step = doc! {
            "from": { "$cond": [
                { "$eq": ["$$i", 0] },
                Bson::Null,
                { "$arrayElemAt": ["$nodes", { "$subtract": ["$$i", 1] }] },
            ] },
            "to": { "$arrayElemAt": ["$nodes", "$$i"] },
            "left": { "$and": [
                { "$eq": ["$$i", { "$subtract": [{ "$size": "$nodes" }, 1] }] },
                { "$in": ["$state", [State::Abandoned.as_str(), State::Bounced.as_str()]] },
            ] },
        };
        let indexes = doc! { "$range": [0, { "$size": "$nodes" }] };
        let pipeline = vec![
            doc! { "$match": these },
            doc! { "$project": { "nodes": "$body.trail.node", "state": "$body.state" } },
            doc! { "$project": { "steps": { "$map": { "input": indexes, "as": "i", "in": step } } } },
            doc! { "$unwind": "$steps" },
            doc! { "$group": { "_id": "$steps", "count": { "$sum": 1_i64 } } },
        ];
        let rows = self.visits.aggregate(scope, pipeline).await?;
        Ok(rows.iter().filter_map(trodden).collect())
    }

    /// Visits in which questions of a questionnaire were answered, newest first.
    pub async fn answered(
        &self,
        scope: &Scope,
        questionnaire: &str,
        asked: &Asked,
        page: &PageRequest,
    ) -> Result<Page<Stored<FlowSession>>, store::Error> {
        let query = asked.query(doc! { "body.heard.questionnaire_id": questionnaire }, ANSWERS);
        self.visits.list(scope, query, Sort::Newest, page).await
    }

    /// How many answered, how many of them all of `required`, and the answers counted, in the database.
    pub async fn counted(
        &self,
        scope: &Scope,
        questionnaire: &str,
        asked: &Asked,
        required: &[&str],
    ) -> Result<(u64, u64, Vec<Tally>), store::Error> {
        let these = asked.query(doc! { "body.heard.questionnaire_id": questionnaire }, ANSWERS);
        counted(&self.visits, scope, these, ANSWERS, required).await
    }

    /// Keeps a visit that begins, with the runs of the actions it came by.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        mut session: FlowSession,
        events: Vec<Outgoing>,
    ) -> Result<Stored<FlowSession>, store::Error> {
        let runs = asked_for(&id, &mut session);
        if runs.is_empty() {
            return self.visits.insert(scope, id, session, events).await;
        }
        self.keep(Whose::New(scope.clone(), id), session, runs, events).await
    }

    /// Keeps a visit as it is now, with the runs of the actions it came by meanwhile.
    pub async fn replace(
        &self,
        read: &Stored<FlowSession>,
        mut session: FlowSession,
        events: Vec<Outgoing>,
    ) -> Result<Stored<FlowSession>, store::Error> {
        let runs = asked_for(&read.id, &mut session);
        if runs.is_empty() {
            return self.visits.replace(read, session, events).await;
        }
        self.keep(Whose::Read(Box::new(read.clone())), session, runs, events).await
    }

    async fn keep(
        &self,
        whose: Whose,
        session: FlowSession,
        asked_for: Vec<(String, WorkflowRun)>,
        events: Vec<Outgoing>,
    ) -> Result<Stored<FlowSession>, store::Error> {
        let (visits, runs) = (self.visits.clone(), self.runs.clone());
        Keeping { visits, runs, asked_for, whose, session, events }.write(&self.db).await
    }

    /// Visits whose subscription is to be looked at, of every company.
    pub async fn to_look_at(
        &self,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<Stored<FlowSession>>, store::Error> {
        let due = doc! { "body.durable.look_at": { "$exists": true, "$lte": store::time::to_bson(now) } };
        self.visits.across().list(due, u32::try_from(most).unwrap_or(u32::MAX)).await
    }

    /// A subscription turned away: the visits that had ended by then lost it. What held for 90 days did.
    pub async fn lost(&self, scope: &Scope, subscription: &str, at: Timestamp) -> Result<u64, store::Error> {
        let these = doc! {
            "body.subscription_id": subscription,
            "body.durable.state": { "$in": ["pending", "held_30", "held_60"] },
            "body.durable.since": { "$lte": store::time::to_bson(at) },
        };
        let update = doc! {
            "$set": { "body.durable.state": "lost" },
            "$unset": { "body.durable.look_at": "" },
        };
        self.visits.update_many(scope, these, update).await
    }

    /// The visits in which one of these customers said to cancel, by id, after one.
    pub async fn wished(
        &self,
        scope: &Scope,
        customers: &[String],
        after: &str,
    ) -> Result<Vec<Stored<FlowSession>>, store::Error> {
        let mut query = shelf(customers, true);
        query.insert("_id", doc! { "$gt": after });
        Ok(self.visits.list(scope, query, Sort::Oldest, &PageRequest::new(200, "")).await?.items)
    }

    /// What is held for an erasure.
    pub async fn held_for(
        &self,
        scope: &Scope,
        request: &str,
    ) -> Result<Vec<Stored<FlowSession>>, store::Error> {
        let query = doc! { "body.held.request_id": request, "body.held": { "$exists": true } };
        Ok(self.visits.list(scope, query, Sort::Oldest, &PageRequest::new(200, "")).await?.items)
    }

    /// What need not be held any more, of every company.
    pub async fn held_until(&self, now: Timestamp) -> Result<Vec<Stored<FlowSession>>, store::Error> {
        let due = doc! { "$lte": store::time::to_bson(now) };
        let query = doc! { "body.held.until": due, "body.held": { "$exists": true } };
        self.visits.across().list(query, 200).await
    }

    pub async fn remove(&self, read: &Stored<FlowSession>) -> Result<(), store::Error> {
        self.visits.remove(&read.scope, &read.id).await.map(drop)
    }

    /// Two customers are one person: the visits of the one are the other's. Done again, there are none left.
    pub async fn join(&self, scope: &Scope, absorbed: &str, survivor: &str) -> Result<(), store::Error> {
        let update = doc! {
            "$set": { "body.customer_id": survivor },
            "$push": { "body.moved_from": absorbed },
        };
        self.visits.update_many(scope, doc! { "body.customer_id": absorbed }, update).await.map(|_| ())
    }

    /// They were not: the visits that had moved go back.
    pub async fn part(&self, scope: &Scope, absorbed: &str, survivor: &str) -> Result<(), store::Error> {
        let update = doc! {
            "$set": { "body.customer_id": absorbed },
            "$pull": { "body.moved_from": absorbed },
        };
        let moved = doc! { "body.customer_id": survivor, "body.moved_from": absorbed };
        self.visits.update_many(scope, moved, update).await.map(|_| ())
    }

    /// Open visits in a state that nobody has touched since, of every company.
    pub async fn untouched(
        &self,
        state: &str,
        since: Timestamp,
    ) -> Result<Vec<Stored<FlowSession>>, store::Error> {
        let since = DateTime::from_millis(since.as_millisecond());
        let query = doc! { "body.open": true, "body.state": state, "updated_at": { "$lt": since } };
        self.visits.across().list(query, 200).await
    }
}

/// The visits of customers, with a wish to cancel or without.
pub fn shelf(customers: &[String], wished: bool) -> Document {
    let wish = if wished {
        doc! { "$ne": Bson::Null }
    } else {
        doc! { "$eq": Bson::Null }
    };
    doc! { "body.customer_id": { "$in": customers }, "body.wished_at": wish }
}

fn trodden(row: &Document) -> Option<Trodden> {
    let step = row.get_document("_id").ok()?;
    Some(Trodden {
        from: step.get_str("from").ok().map(str::to_owned),
        to: step.get_str("to").ok()?.to_owned(),
        left: step.get_bool("left").ok()?,
        count: u64::try_from(row.get_i64("count").ok()?).ok()?,
    })
}
