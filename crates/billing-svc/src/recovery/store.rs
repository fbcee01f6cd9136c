//! The queries of campaigns, their plans, cases, and of who is in which persona.

use bson::doc;
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo, Sort, Stored};

use super::case::{Case, State};
use super::model::{Campaign, Plan, Status};

impl Record for Campaign {
    const COLLECTION: &'static str = "recovery_campaigns";
    const NOUN: &'static str = "campaign";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.status", "_id"]),
            // Of two that are activated at once for the same persona, one is refused.
            Index::on(&["body.claims"]).unique().partial(doc! { "body.status": Status::Active.as_str() }),
        ]
    }
}

/// Has its campaign's id and its own hash as id: what is there never changes.
impl Record for Plan {
    const COLLECTION: &'static str = "recovery_plans";
    const NOUN: &'static str = "plan";
}

impl Record for Case {
    const COLLECTION: &'static str = "recovery_cases";
    const NOUN: &'static str = "case";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.subscription_id"]).unique().partial(doc! { "body.holds": true }),
            Index::on(&["body.subscription_id", "_id"]),
            Index::on(&["body.customer_id", "_id"]),
            Index::on(&["body.state", "_id"]),
            Index::on(&["body.pin.campaign_id", "_id"]),
            Index::global(&["body.next_at"]),
            Index::on(&["body.next_at"]),
        ]
    }
}

/// A customer in a persona, or not any more, as analytics last told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    pub customer_id: String,
    pub persona_id: String,
    pub member: bool,
    pub sequence: i64,
}

impl Record for Membership {
    const COLLECTION: &'static str = "persona_memberships";
    const NOUN: &'static str = "membership";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.customer_id", "body.member"])]
    }
}

/// Which campaigns a list shows.
#[derive(Clone, Debug, Default)]
pub struct CampaignFilter {
    pub status: Option<Status>,
}

/// Which cases a list shows.
#[derive(Clone, Debug, Default)]
pub struct CaseFilter {
    pub state: Option<State>,
    pub subscription_id: Option<String>,
    pub customer_id: Option<String>,
    pub campaign_id: Option<String>,
}

#[derive(Clone)]
pub struct CampaignStore {
    campaigns: Repo<Campaign>,
    plans: Repo<Plan>,
    memberships: Repo<Membership>,
}

impl CampaignStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self {
            campaigns: Repo::open(db, clock.clone()).await?,
            plans: Repo::open(db, clock.clone()).await?,
            memberships: Repo::open(db, clock).await?,
        })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Campaign>, store::Error> {
        self.campaigns.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &CampaignFilter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Campaign>>, store::Error> {
        let mut query = doc! {};
        if let Some(status) = filter.status {
            query.insert("body.status", status.as_str());
        }
        self.campaigns.list(scope, query, Sort::Newest, page).await
    }

    /// The active ones in the order they are looked through. There is one per persona; nobody has more than a page.
    pub async fn active(&self, scope: &Scope) -> Result<Vec<Stored<Campaign>>, store::Error> {
        let query = doc! { "body.status": Status::Active.as_str() };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.campaigns.list(scope, query, Sort::By("body.priority"), &page).await?.items)
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        campaign: Campaign,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Campaign>, store::Error> {
        self.campaigns.insert(scope, id, campaign, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Campaign>,
        campaign: Campaign,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Campaign>, store::Error> {
        self.campaigns.replace(read, campaign, events).await
    }

    /// Keeps a plan for the cases that begin with it.
    pub async fn keep_plan(&self, scope: &Scope, campaign: &str, plan: &Plan) -> Result<(), store::Error> {
        let id = plan_id(campaign, &plan.hash());
        match self.plans.insert(scope, id, plan.clone(), Vec::new()).await {
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    pub async fn plan(&self, scope: &Scope, campaign: &str, hash: &str) -> Result<Plan, store::Error> {
        Ok(self.plans.get(scope, &plan_id(campaign, hash)).await?.body)
    }

    /// Keeps what was told of a customer and a persona, unless something newer is there.
    pub async fn keep_membership(&self, scope: &Scope, told: Membership) -> Result<(), store::Error> {
        let id = format!("{}/{}", told.customer_id, told.persona_id);
        let older = doc! { "body.sequence": { "$lte": told.sequence } };
        let update = doc! { "$set": { "body.member": told.member, "body.sequence": told.sequence } };
        if self.memberships.update(scope, &id, older, update, Vec::new()).await?.is_some() {
            return Ok(());
        }
        match self.memberships.insert(scope, id, told, Vec::new()).await {
            // Something newer is there.
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// The personas a customer is in.
    pub async fn personas(&self, scope: &Scope, customer_id: &str) -> Result<Vec<String>, store::Error> {
        let query = doc! { "body.customer_id": customer_id, "body.member": true };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        let found = self.memberships.list(scope, query, Sort::Oldest, &page).await?;
        Ok(found.items.into_iter().map(|m| m.body.persona_id).collect())
    }
}

fn plan_id(campaign: &str, hash: &str) -> String {
    format!("{campaign}:{hash}")
}

#[derive(Clone)]
pub struct CaseStore {
    cases: Repo<Case>,
}

impl CaseStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { cases: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Case>, store::Error> {
        self.cases.get(scope, id).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        filter: &CaseFilter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Case>>, store::Error> {
        let CaseFilter { state, subscription_id, customer_id, campaign_id } = filter;
        let mut query = doc! {};
        let fields = [
            ("body.state", state.map(State::as_str)),
            ("body.subscription_id", subscription_id.as_deref()),
            ("body.customer_id", customer_id.as_deref()),
            ("body.pin.campaign_id", campaign_id.as_deref()),
        ];
        for (field, wanted) in fields.into_iter().filter_map(|(f, w)| Some((f, w?))) {
            query.insert(field, wanted);
        }
        self.cases.list(scope, query, Sort::Newest, page).await
    }

    /// The case of the episode that goes on, open or not.
    pub async fn holding(
        &self,
        scope: &Scope,
        subscription_id: &str,
    ) -> Result<Option<Stored<Case>>, store::Error> {
        let query = doc! { "body.subscription_id": subscription_id, "body.holds": true };
        self.cases.find(scope, query).await
    }

    /// `Duplicate` when the episode has a case.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        case: Case,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Case>, store::Error> {
        self.cases.insert(scope, id, case, events).await
    }

    /// Conditional on the version that was read: of two who go on with a case, one is refused.
    pub async fn replace(
        &self,
        read: &Stored<Case>,
        case: Case,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Case>, store::Error> {
        self.cases.replace(read, case, events).await
    }

    /// Those that are to be looked at, over all companies.
    pub async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<Case>>, store::Error> {
        let due = doc! { "body.next_at": { "$lte": store::time::to_bson(now) } };
        self.cases.across().list(due, most).await
    }

    /// The same in one company, whose clock is ahead.
    pub async fn due_in(
        &self,
        scope: &Scope,
        now: Timestamp,
        most: u32,
    ) -> Result<Vec<Stored<Case>>, store::Error> {
        let due = doc! { "body.next_at": { "$lte": store::time::to_bson(now) } };
        self.by_time(scope, due, most).await
    }

    /// When the next case of a company is to be looked at after this.
    pub async fn next_due(&self, scope: &Scope, after: Timestamp) -> Result<Option<Timestamp>, store::Error> {
        let due = doc! { "body.next_at": { "$gt": store::time::to_bson(after) } };
        Ok(self.by_time(scope, due, 1).await?.into_iter().next().and_then(|c| c.body.next_at))
    }

    async fn by_time(
        &self,
        scope: &Scope,
        due: bson::Document,
        most: u32,
    ) -> Result<Vec<Stored<Case>>, store::Error> {
        let page = PageRequest::new(most, "");
        Ok(self.cases.list(scope, due, Sort::By("body.next_at"), &page).await?.items)
    }
}
