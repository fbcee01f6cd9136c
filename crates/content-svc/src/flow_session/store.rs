//! Where visits are kept.

use bson::{DateTime, Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::FlowSession;

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
            Index::global(&["body.state", "updated_at"]).partial(open),
        ]
    }
}

/// The visits.
#[derive(Clone)]
pub struct FlowStore(Repo<FlowSession>);

impl FlowStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<FlowSession>, store::Error> {
        self.0.get(scope, id).await
    }

    /// The visit a start token led to already.
    pub async fn started_by(
        &self,
        scope: &Scope,
        start: &str,
    ) -> Result<Option<Stored<FlowSession>>, store::Error> {
        self.0.find(scope, doc! { "body.starts": start }).await
    }

    /// The open visit of a subscription.
    pub async fn open_for(
        &self,
        scope: &Scope,
        subscription: &str,
    ) -> Result<Option<Stored<FlowSession>>, store::Error> {
        self.0.find(scope, doc! { "body.subscription_id": subscription, "body.open": true }).await
    }

    /// The newest visit of a subscription that is over.
    pub async fn last_of(
        &self,
        scope: &Scope,
        subscription: &str,
    ) -> Result<Option<Stored<FlowSession>>, store::Error> {
        let over = doc! { "body.subscription_id": subscription, "body.open": false };
        Ok(self.0.list(scope, over, Sort::Newest, &PageRequest::new(1, "")).await?.items.pop())
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
        self.0.list(scope, query, Sort::Newest, page).await
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        session: FlowSession,
        events: Vec<Outgoing>,
    ) -> Result<Stored<FlowSession>, store::Error> {
        self.0.insert(scope, id, session, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<FlowSession>,
        session: FlowSession,
        events: Vec<Outgoing>,
    ) -> Result<Stored<FlowSession>, store::Error> {
        self.0.replace(read, session, events).await
    }

    /// Open visits in a state that nobody has touched since, of every company.
    pub async fn untouched(
        &self,
        state: &str,
        since: Timestamp,
    ) -> Result<Vec<Stored<FlowSession>>, store::Error> {
        let since = DateTime::from_millis(since.as_millisecond());
        let query = doc! { "body.open": true, "body.state": state, "updated_at": { "$lt": since } };
        self.0.across().list(query, 200).await
    }
}
