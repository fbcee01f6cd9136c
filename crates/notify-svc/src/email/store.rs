//! The queries of mails and of what stops them.

use std::time::Duration;

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Halt, Mail, State};

impl Record for Mail {
    const COLLECTION: &'static str = "mails";
    const NOUN: &'static str = "mail";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.dedupe_key"]).unique(),
            Index::global(&["body.next_at"]).partial(doc! { "body.open": true }),
            Index::on(&["body.recovery_of"]).partial(doc! { "body.open": true }),
            Index::on(&["body.customer_id"]),
            Index::on(&["body.about"]).partial(doc! { "body.about": { "$exists": true } }),
            Index::on(&["body.state", "_id"]),
            Index::global(&["created_at"]).ttl(Duration::from_secs(180 * 24 * 3600)),
        ]
    }
}

/// Has the subscription's id.
impl Record for Halt {
    const COLLECTION: &'static str = "recovery_halts";
    const NOUN: &'static str = "halt";

    fn indexes() -> Vec<Index> {
        Vec::new()
    }
}

/// How long a mail may be in sending before somebody else takes it over.
const LEASE_SECONDS: i64 = 120;

#[derive(Clone)]
pub struct MailStore {
    mails: Repo<Mail>,
    halts: Repo<Halt>,
}

impl MailStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { mails: Repo::open(db, clock.clone()).await?, halts: Repo::open(db, clock).await? })
    }

    /// Queues a mail; false when one with its key is there already.
    pub async fn queue(&self, scope: &Scope, mail: Mail) -> Result<bool, store::Error> {
        match self.mails.insert(scope, kit::id::new("mal"), mail, Vec::new()).await {
            Ok(_) => Ok(true),
            Err(store::Error::Duplicate(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub async fn list(
        &self,
        scope: &Scope,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Mail>>, store::Error> {
        let filter = state.map_or_else(Document::new, |s| doc! { "body.state": s.as_str() });
        self.mails.list(scope, filter, Sort::Newest, page).await
    }

    /// What is to be taken up now, of all companies.
    pub async fn due(&self, now: Timestamp, most: u32) -> Result<Vec<Stored<Mail>>, store::Error> {
        let filter = doc! { "body.open": true, "body.next_at": { "$lte": store::time::to_bson(now) } };
        self.mails.across().list(filter, most).await
    }

    /// Takes a mail up; none when somebody else did, or it was stopped.
    pub async fn take(
        &self,
        mail: &Stored<Mail>,
        now: Timestamp,
    ) -> Result<Option<Stored<Mail>>, store::Error> {
        let until = now.checked_add(jiff::SignedDuration::from_secs(LEASE_SECONDS)).unwrap_or(now);
        let guard = doc! { "version": mail.version, "body.open": true };
        let update = doc! {
            "$set": { "body.state": "sending", "body.next_at": store::time::to_bson(until) },
            "$inc": { "body.attempts": 1_i64 },
        };
        self.mails.update(&mail.scope, &mail.id, guard, update, Vec::new()).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Mail>,
        mail: Mail,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Mail>, store::Error> {
        self.mails.replace(read, mail, events).await
    }

    /// Stops the recovery mails of a subscription that were asked for before: those that wait, and those still to come.
    pub async fn halt(&self, scope: &Scope, subscription: &str, halt: Halt) -> Result<u64, store::Error> {
        let earlier = doc! { "body.at": { "$lt": store::time::to_bson(halt.at) } };
        let update = doc! { "$set": { "body": store::transaction::bson(&halt)? } };
        let moved = self.halts.update(scope, subscription, earlier, update, Vec::new()).await?.is_some();
        if !moved {
            match self.halts.insert(scope, subscription.to_owned(), halt.clone(), Vec::new()).await {
                // A later one is there.
                Ok(_) | Err(store::Error::Duplicate(_)) => {}
                Err(e) => return Err(e),
            }
        }
        // Null is what was queued without a time: it stops.
        let asked = doc! { "$or": [
            { "body.asked_at": { "$lte": store::time::to_bson(halt.until()) } }, { "body.asked_at": bson::Bson::Null },
        ] };
        let mut filter = doc! { "body.recovery_of": subscription, "body.open": true };
        filter.extend(asked);
        self.suppress(scope, filter, &halt.reason).await
    }

    pub async fn halted(&self, scope: &Scope, subscription: &str) -> Result<Option<Halt>, store::Error> {
        Ok(self.halts.find(scope, doc! { "_id": subscription }).await?.map(|h| h.body))
    }

    /// Stops what waits for a customer, and takes the address out of everything that went to them.
    pub async fn erase(&self, scope: &Scope, customer: &str) -> Result<(), store::Error> {
        let waiting = doc! { "body.customer_id": customer, "body.open": true };
        self.suppress(scope, waiting, "the customer was erased").await?;
        let all = doc! { "body.customer_id": customer };
        let update = doc! { "$set": { "body.to": "", "body.values": "" } };
        self.mails.update_many(scope, all, update).await.map(|_| ())
    }

    async fn suppress(&self, scope: &Scope, filter: Document, why: &str) -> Result<u64, store::Error> {
        let update = doc! { "$set": {
            "body.state": "suppressed", "body.open": false, "body.values": "", "body.last_error": why,
        } };
        self.mails.update_many(scope, filter, update).await
    }
}
