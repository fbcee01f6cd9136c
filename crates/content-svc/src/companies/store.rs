//! The standing of companies as identity told it last.

use bson::doc;
use kit::{Scope, SharedClock};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Record, Repo};

/// One company; its id is the record's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// `pending`, `active`, `suspended`, `closing`, `closed`.
    status: String,
    /// The version of the company that says so.
    sequence: i64,
}

impl Record for Standing {
    const COLLECTION: &'static str = "companies";
    const NOUN: &'static str = "company";
}

#[derive(Clone)]
pub struct Companies {
    standings: Repo<Standing>,
}

impl Companies {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { standings: Repo::open(db, clock).await? })
    }

    /// Whether a company's flows run: one that is suspended or on its way out lets its customers cancel, and no more.
    pub async fn in_service(&self, scope: &Scope) -> Result<bool, store::Error> {
        let found = self.standings.find(&Scope::platform(), doc! { "_id": &scope.company }).await?;
        Ok(found.is_none_or(|c| !matches!(c.body.status.as_str(), "suspended" | "closing" | "closed")))
    }

    /// Notes what was told; what is older than what is known changes nothing.
    pub async fn told(&self, company: &str, status: &str, sequence: i64) -> Result<(), store::Error> {
        let scope = Scope::platform();
        let guard = doc! { "body.sequence": { "$lt": sequence } };
        let update = doc! { "$set": { "body.status": status, "body.sequence": sequence } };
        if self.standings.update(&scope, company, guard, update, Vec::new()).await?.is_some() {
            return Ok(());
        }
        let first = Standing { status: status.to_owned(), sequence };
        match self.standings.insert(&scope, company.to_owned(), first, Vec::new()).await {
            // Known, and newer.
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }
}
