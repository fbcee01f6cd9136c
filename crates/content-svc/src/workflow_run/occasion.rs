//! What will happen at a time nobody tells of when it comes: a trial ends, a pause ends. Noted when billing tells when
//! that will be, looked at some days ahead of it, and asked of billing once more before anything begins.

use bson::doc;
use jiff::SignedDuration;
use kit::{Caller, Code, Coded, Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo, Stored};

use super::ops::{Start, WorkflowRuns};
use crate::error::Error;
use crate::rule::Value;
use crate::workflow::Trigger;

/// How long before the end its workflow begins.
const AHEAD: SignedDuration = SignedDuration::from_hours(3 * 24);
/// How long one waits whose subscription cannot be asked for.
const LATER: SignedDuration = SignedDuration::from_mins(10);

/// The end of a trial or of a pause. Its id is made of trigger and subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occasion {
    pub trigger: Trigger,
    pub customer_id: String,
    pub subscription_id: String,
    #[serde(with = "store::time")]
    pub at: Timestamp,
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
}

impl Record for Occasion {
    const COLLECTION: &'static str = "workflow_occasions";
    const NOUN: &'static str = "occasion";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.due_at"]), Index::on(&["body.customer_id"])]
    }
}

impl Occasion {
    fn new(trigger: Trigger, customer_id: &str, subscription_id: &str, at: Timestamp) -> Self {
        let (customer_id, subscription_id) = (customer_id.to_owned(), subscription_id.to_owned());
        let due_at = at.checked_sub(AHEAD).unwrap_or(Timestamp::MIN);
        Self { trigger, customer_id, subscription_id, at, due_at }
    }
}

fn id(trigger: Trigger, subscription: &str) -> String {
    format!("{}.{subscription}", trigger.as_str())
}

/// Which state of a subscription has such an end, and which attribute says when it is.
pub fn ends_of(trigger: Trigger) -> (&'static str, &'static str) {
    match trigger {
        Trigger::PauseEnding => ("paused", "resumes_at"),
        _ => ("trialing", "trial_end"),
    }
}

/// The occasions.
#[derive(Clone)]
pub struct Occasions(Repo<Occasion>);

impl Occasions {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self(Repo::open(db, clock).await?))
    }

    /// Notes when it will be; none: it will not.
    pub async fn note(
        &self,
        scope: &Scope,
        trigger: Trigger,
        customer: &str,
        subscription: &str,
        at: Option<Timestamp>,
    ) -> Result<(), store::Error> {
        let id = id(trigger, subscription);
        match at {
            Some(at) => {
                let occasion = Occasion::new(trigger, customer, subscription, at);
                self.0.upsert(scope, id, occasion, Vec::new()).await.map(drop)
            }
            None => self.0.remove(scope, &id).await.map(drop),
        }
    }

    /// Two customers are one person, or were not: whose the subscriptions of one are now.
    pub async fn moved(
        &self,
        scope: &Scope,
        subscriptions: &[String],
        customer: &str,
    ) -> Result<(), store::Error> {
        let theirs = doc! { "body.subscription_id": { "$in": subscriptions } };
        let update = doc! { "$set": { "body.customer_id": customer } };
        self.0.update_many(scope, theirs, update).await.map(drop)
    }

    /// The customer is erased.
    pub async fn forget(&self, scope: &Scope, customer: &str) -> Result<(), store::Error> {
        self.0.remove_many(scope, doc! { "body.customer_id": customer }).await.map(drop)
    }

    async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<Occasion>>, store::Error> {
        self.0.across().list(doc! { "body.due_at": { "$lte": store::time::to_bson(now) } }, most).await
    }

    async fn put_off(&self, read: &Stored<Occasion>, occasion: Occasion) -> Result<(), store::Error> {
        match self.0.replace(read, occasion, Vec::new()).await {
            // It was told anew meanwhile, or another replica was faster.
            Ok(_) | Err(store::Error::Stale(_) | store::Error::NotFound(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

impl WorkflowRuns {
    /// Begins what is near by now; how many occasions were looked at.
    pub async fn look_ahead(&self, occasions: &Occasions, most: u32) -> Result<usize, Error> {
        let due = occasions.due(self.clock.now(), most).await?;
        for read in &due {
            if let Err(e) = self.came_near(occasions, read).await {
                tracing::info!(error = %e, "{} is looked at later: {e}", read.id);
                let due_at = self.clock.now().checked_add(LATER).unwrap_or(Timestamp::MAX);
                occasions.put_off(read, Occasion { due_at, ..read.body.clone() }).await?;
            }
        }
        Ok(due.len())
    }

    async fn came_near(&self, occasions: &Occasions, read: &Stored<Occasion>) -> Result<(), Error> {
        let Occasion { trigger, customer_id, subscription_id, at, .. } = &read.body;
        let caller = Caller::internal("content-svc", Some(read.scope.clone()));
        let gone = || occasions.note(&read.scope, *trigger, customer_id, subscription_id, None);
        let visitor = match self.billing.visitor(&caller, customer_id, subscription_id).await {
            Ok(visitor) => visitor,
            Err(e) if e.code().0 == Code::NotFound => return Ok(gone().await?),
            Err(e) => return Err(e.into()),
        };
        let (state, says_when) = ends_of(*trigger);
        if visitor.subject.state != state {
            return Ok(gone().await?);
        }
        let now_at = match visitor.facts.get(says_when) {
            Some(Value::Text(text)) => text.parse::<Timestamp>().ok(),
            _ => None,
        };
        // Put off since it was noted, as an offer does.
        if let Some(now_at) = now_at.map(kit::clock::millis).filter(|now_at| now_at > at) {
            let moved = Occasion::new(*trigger, customer_id, subscription_id, now_at);
            if moved.due_at > self.clock.now() {
                return Ok(occasions.put_off(read, moved).await?);
            }
        }
        let start = Start {
            customer: customer_id.clone(),
            subscription: subscription_id.clone(),
            key: format!("{}/{subscription_id}/{at}", trigger.as_str()),
            ..Start::default()
        };
        self.happened(&read.scope, *trigger, &start).await?;
        Ok(gone().await?)
    }
}
