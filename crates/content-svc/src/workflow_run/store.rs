//! Where runs are kept.

use bson::{Document, doc};
use kit::{Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::WorkflowRun;

impl Record for WorkflowRun {
    const COLLECTION: &'static str = "workflow_runs";
    const NOUN: &'static str = "run";

    fn indexes() -> Vec<Index> {
        let open = doc! { "body.open": true };
        vec![
            Index::on(&["body.start_key"]).unique(),
            // One run of a workflow at a time for each subscription.
            Index::on(&["body.flow.id", "body.about"]).unique().partial(open.clone()),
            Index::on(&["body.flow.id", "body.about", "-_id"]),
            Index::on(&["body.customer_id", "_id"]),
            Index::on(&["body.customer_id", "body.listens_to"])
                .partial(doc! { "body.listens_to": { "$exists": true } }),
            Index::global(&["body.due_at"]).partial(open),
        ]
    }
}

/// The runs.
#[derive(Clone)]
pub struct RunStore(Repo<WorkflowRun>);

/// Who is nearest to be looked for at once.
const BATCH: u32 = 200;

impl RunStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<WorkflowRun>, store::Error> {
        self.0.get(scope, id).await
    }

    /// The run that something started.
    pub async fn started_by(
        &self,
        scope: &Scope,
        key: &str,
    ) -> Result<Option<Stored<WorkflowRun>>, store::Error> {
        self.0.find(scope, doc! { "body.start_key": key }).await
    }

    /// The newest run of a workflow for a subscription, or a customer without one.
    pub async fn last_of(
        &self,
        scope: &Scope,
        workflow: &str,
        about: &str,
    ) -> Result<Option<Stored<WorkflowRun>>, store::Error> {
        let of = doc! { "body.flow.id": workflow, "body.about": about };
        Ok(self.0.list(scope, of, Sort::Newest, &PageRequest::new(1, "")).await?.items.pop())
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        run: WorkflowRun,
    ) -> Result<Stored<WorkflowRun>, store::Error> {
        self.0.insert(scope, id, run, Vec::new()).await
    }

    /// The same inside the transaction in which a visit asks for it.
    pub async fn insert_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: String,
        run: WorkflowRun,
    ) -> Result<Stored<WorkflowRun>, store::Error> {
        self.0.insert_in(tx, scope, id, run, Vec::new()).await
    }

    pub async fn replace(
        &self,
        read: &Stored<WorkflowRun>,
        run: WorkflowRun,
        events: Vec<Outgoing>,
    ) -> Result<Stored<WorkflowRun>, store::Error> {
        self.0.replace(read, run, events).await
    }

    /// What may be taken up, of every company.
    pub async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<WorkflowRun>>, store::Error> {
        let due = doc! { "body.open": true, "body.due_at": { "$lte": store::time::to_bson(now) } };
        self.0.across().list(due, most).await
    }

    /// A customer's runs that wait for one of these events.
    pub async fn listening(
        &self,
        scope: &Scope,
        customer: &str,
        events: &[String],
    ) -> Result<Vec<Stored<WorkflowRun>>, store::Error> {
        self.all(scope, doc! { "body.customer_id": customer, "body.listens_to": { "$in": events } }).await
    }

    /// The runs of a customer that have not ended.
    pub async fn open_of(
        &self,
        scope: &Scope,
        customer: &str,
    ) -> Result<Vec<Stored<WorkflowRun>>, store::Error> {
        self.all(scope, doc! { "body.customer_id": customer, "body.open": true }).await
    }

    /// Some runs of a workflow that have not ended.
    pub async fn open_in(
        &self,
        scope: &Scope,
        workflow: &str,
    ) -> Result<Vec<Stored<WorkflowRun>>, store::Error> {
        let of = doc! { "body.flow.id": workflow, "body.open": true };
        Ok(self.0.list(scope, of, Sort::Oldest, &PageRequest::new(BATCH, "")).await?.items)
    }

    async fn all(&self, scope: &Scope, filter: Document) -> Result<Vec<Stored<WorkflowRun>>, store::Error> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                self.0.list(scope, filter.clone(), Sort::Oldest, &PageRequest::new(BATCH, cursor)).await?;
            found.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => return Ok(found),
            }
        }
    }

    /// Two customers are one person: the runs of the one are the other's. Done again, there are none left.
    pub async fn join(&self, scope: &Scope, absorbed: &str, survivor: &str) -> Result<(), store::Error> {
        let update = doc! {
            "$set": { "body.customer_id": survivor },
            "$push": { "body.moved_from": absorbed },
        };
        self.0.update_many(scope, doc! { "body.customer_id": absorbed }, update).await.map(drop)
    }

    /// They were not: the runs that had moved go back.
    pub async fn part(&self, scope: &Scope, absorbed: &str, survivor: &str) -> Result<(), store::Error> {
        let update = doc! {
            "$set": { "body.customer_id": absorbed },
            "$pull": { "body.moved_from": absorbed },
        };
        let moved = doc! { "body.customer_id": survivor, "body.moved_from": absorbed };
        self.0.update_many(scope, moved, update).await.map(drop)
    }
}
