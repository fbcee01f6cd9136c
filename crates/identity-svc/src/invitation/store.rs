//! The queries of invitations.

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Invitation, State};

impl Record for Invitation {
    const COLLECTION: &'static str = "invitations";
    const NOUN: &'static str = "invitation";

    fn indexes() -> Vec<Index> {
        vec![
            Index::global(&["body.token_hash"]).unique(),
            Index::on(&["body.email_key"]).unique().partial(doc! { "body.open": true }),
            Index::on(&["body.state", "_id"]),
            Index::global(&["body.expires_at"]).partial(doc! { "body.open": true }),
        ]
    }
}

#[derive(Clone)]
pub struct InvitationStore {
    invitations: Repo<Invitation>,
}

impl InvitationStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { invitations: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Invitation>, store::Error> {
        self.invitations.get(scope, id).await
    }

    /// By the hash of the token, whichever company's it is.
    pub async fn by_token(&self, hash: &str) -> Result<Stored<Invitation>, store::Error> {
        let found = self.invitations.across().find(doc! { "body.token_hash": hash }).await?;
        found.ok_or(store::Error::NotFound("invitation"))
    }

    pub async fn open_for(
        &self,
        scope: &Scope,
        email_key: &str,
    ) -> Result<Option<Stored<Invitation>>, store::Error> {
        self.invitations.find(scope, doc! { "body.email_key": email_key, "body.open": true }).await
    }

    pub async fn list(
        &self,
        scope: &Scope,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Invitation>>, store::Error> {
        let filter = state.map_or_else(Document::new, |s| doc! { "body.state": s.as_str() });
        self.invitations.list(scope, filter, Sort::Newest, page).await
    }

    /// Ends those that nobody answered in time, whichever company's they are.
    pub async fn expire(&self, now: Timestamp) -> Result<(), store::Error> {
        loop {
            let due = doc! { "body.open": true, "body.expires_at": { "$lte": store::time::to_bson(now) } };
            let found = self.invitations.across().list(due, 100).await?;
            for read in &found {
                match self.replace(read, read.body.ended(State::Expired, None), Vec::new()).await {
                    // Answered or sent again just now.
                    Ok(_) | Err(store::Error::Stale(_)) => {}
                    Err(e) => return Err(e),
                }
            }
            if found.len() < 100 {
                return Ok(());
            }
        }
    }

    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        invitation: Invitation,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Invitation>, store::Error> {
        self.invitations.insert(scope, id, invitation, events).await
    }

    pub async fn replace(
        &self,
        read: &Stored<Invitation>,
        invitation: Invitation,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Invitation>, store::Error> {
        self.invitations.replace(read, invitation, events).await
    }

    pub async fn replace_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Invitation>,
        invitation: Invitation,
    ) -> Result<Stored<Invitation>, store::Error> {
        self.invitations.replace_in(tx, read, invitation, Vec::new()).await
    }
}
