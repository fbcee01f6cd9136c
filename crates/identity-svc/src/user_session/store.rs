//! The queries of sessions.

use std::time::Duration;

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored};

use super::model::{Session, State};
use crate::secrets::Sealed;

impl Record for Session {
    const COLLECTION: &'static str = "sessions";
    const NOUN: &'static str = "session";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.user_id", "body.state", "_id"]),
            Index::on(&["body.state", "body.idle_until"]),
            Index::on(&["body.company_id", "body.state"]),
            Index::on(&["body.current"]).unique(),
            Index::on(&["body.used"]),
            Index::global(&["body.ends_at"]).ttl(Duration::from_secs(30 * 24 * 3600)),
        ]
    }
}

#[derive(Clone)]
pub struct SessionStore {
    sessions: Repo<Session>,
}

impl SessionStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { sessions: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, id: &str) -> Result<Stored<Session>, store::Error> {
        self.sessions.get(&Scope::platform(), id).await
    }

    /// The session a refresh token belongs to, whether it still works or was used.
    pub async fn by_token(&self, hash: &str) -> Result<Option<Stored<Session>>, store::Error> {
        let filter = doc! { "$or": [{ "body.current": hash }, { "body.used": hash }] };
        self.sessions.find(&Scope::platform(), filter).await
    }

    pub async fn list(
        &self,
        user_id: &str,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<Stored<Session>>, store::Error> {
        let filter = doc! {
            "body.user_id": user_id, "body.state": "active",
            "body.idle_until": { "$gt": store::time::to_bson(now) },
        };
        self.sessions.list(&Scope::platform(), filter, Sort::Newest, page).await
    }

    /// Every live session of a person, or those for one company.
    pub async fn all(
        &self,
        user_id: &str,
        company: Option<&str>,
    ) -> Result<Vec<Stored<Session>>, store::Error> {
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        let filter = living(user_id, company);
        Ok(self.sessions.list(&Scope::platform(), filter, Sort::Newest, &page).await?.items)
    }

    /// Ends what idled out or is over.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), store::Error> {
        let now = store::time::to_bson(now);
        for (field, state) in [("body.ends_at", State::Expired), ("body.idle_until", State::IdleExpired)] {
            let filter = doc! { "body.state": "active", field: { "$lte": now } };
            let update = doc! { "$set": { "body.state": state.as_str() } };
            self.sessions.update_many(&Scope::platform(), filter, update).await?;
        }
        Ok(())
    }

    pub async fn insert(
        &self,
        id: String,
        session: Session,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Session>, store::Error> {
        self.sessions.insert(&Scope::platform(), id, session, events).await
    }

    /// Trades the current token for its successor in one write; none when it is not the current one any more.
    pub async fn rotate(
        &self,
        id: &str,
        from: &str,
        to: &str,
        successor: &Sealed,
        now: Timestamp,
        idle_until: Timestamp,
    ) -> Result<Option<Stored<Session>>, store::Error> {
        let guard = doc! { "body.current": from, "body.state": "active" };
        let update = doc! {
            "$set": {
                "body.current": to,
                "body.previous": from,
                "body.successor": store::transaction::bson(successor)?,
                "body.rotated_at": store::time::to_bson(now),
                "body.idle_until": store::time::to_bson(idle_until),
            },
            "$push": { "body.used": from },
        };
        self.sessions.update(&Scope::platform(), id, guard, update, Vec::new()).await
    }

    /// Ends a session that is active.
    pub async fn end(&self, id: &str, to: State, events: Vec<Outgoing>) -> Result<bool, store::Error> {
        let update = doc! { "$set": { "body.state": to.as_str() } };
        let guard = doc! { "body.state": "active" };
        Ok(self.sessions.update(&Scope::platform(), id, guard, update, events).await?.is_some())
    }

    /// Ends all sessions of a person, or those for one company.
    pub async fn revoke(&self, user_id: &str, company: Option<&str>) -> Result<u64, store::Error> {
        let update = doc! { "$set": { "body.state": "revoked" } };
        self.sessions.update_many(&Scope::platform(), living(user_id, company), update).await
    }

    /// Ends the sessions for a company that were, or were not, begun in this way.
    pub async fn revoke_by_method(
        &self,
        company: &str,
        method: &str,
        unlike: bool,
    ) -> Result<u64, store::Error> {
        let method = if unlike {
            doc! { "$ne": method }
        } else {
            doc! { "$eq": method }
        };
        let filter = doc! {
            "body.company_id": company, "body.state": "active", "body.method": method,
            // Operators do not belong to the company.
            "body.role": { "$ne": "kale_admin" },
        };
        let update = doc! { "$set": { "body.state": "revoked" } };
        self.sessions.update_many(&Scope::platform(), filter, update).await
    }
}

fn living(user_id: &str, company: Option<&str>) -> Document {
    let mut filter = doc! { "body.user_id": user_id, "body.state": "active" };
    if let Some(company) = company {
        filter.insert("body.company_id", company);
    }
    filter
}
