//! One-time codes and the counting of tries. Both are kept for addresses nobody has, too: what is asked for and how
//! long the answer takes says nothing about who has an account.

use std::time::Duration;

use bson::doc;
use kit::{Outgoing, Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo};

/// How long a code works.
pub const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How often a code may be wrong.
const MOST_TRIES: i32 = 5;
/// What tries are counted over.
const WINDOW: i64 = 3600;

/// The last code of one account; the id is the account's keyed hash.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Code {
    hash: String,
    #[serde(with = "store::time")]
    expires_at: Timestamp,
    tries: i32,
    used: bool,
}

impl Record for Code {
    const COLLECTION: &'static str = "sign_in_codes";
    const NOUN: &'static str = "code";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.expires_at"]).ttl(Duration::from_secs(3600))]
    }
}

/// How often something was tried in one hour.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    count: i32,
    #[serde(with = "store::time")]
    until: Timestamp,
}

impl Record for Count {
    const COLLECTION: &'static str = "sign_in_counts";
    const NOUN: &'static str = "count";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.until"]).ttl(Duration::from_secs(60))]
    }
}

#[derive(Clone)]
pub struct CodeStore {
    codes: Repo<Code>,
    counts: Repo<Count>,
    clock: SharedClock,
}

impl CodeStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        let codes = Repo::open(db, clock.clone()).await?;
        Ok(Self { codes, counts: Repo::open(db, clock.clone()).await?, clock })
    }

    /// Puts a new code in the place of the last one.
    pub async fn put(&self, account: &str, hash: String, events: Vec<Outgoing>) -> Result<(), store::Error> {
        let now = self.clock.now();
        let expires_at = now.checked_add(LIFETIME).unwrap_or(now);
        let code = Code { hash, expires_at, tries: 0, used: false };
        self.codes.upsert(&Scope::platform(), id(account), code, events).await.map(|_| ())
    }

    /// Uses a code up. False when it is wrong, old, used, or was wrong too often.
    pub async fn take(&self, account: &str, hash: &str) -> Result<bool, store::Error> {
        let scope = Scope::platform();
        let now = store::time::to_bson(self.clock.now());
        let guard = doc! {
            "body.hash": hash, "body.used": false, "body.tries": { "$lt": MOST_TRIES },
            "body.expires_at": { "$gt": now },
        };
        let used = doc! { "$set": { "body.used": true } };
        if self.codes.update(&scope, &id(account), guard, used, Vec::new()).await?.is_some() {
            return Ok(true);
        }
        let missed = doc! { "$inc": { "body.tries": 1 } };
        self.codes.update(&scope, &id(account), doc! { "body.used": false }, missed, Vec::new()).await?;
        Ok(false)
    }

    /// Counts one try; the time to wait when there were too many in this hour.
    pub async fn count(&self, what: &str, most: u32) -> Result<Option<Duration>, store::Error> {
        let now = self.clock.now();
        let window = now.as_second().div_euclid(WINDOW);
        let ends = (window + 1) * WINDOW;
        let id = format!("cnt_{what}_{window}");
        let until = Timestamp::from_second(ends).unwrap_or(now);
        let more = doc! { "$inc": { "body.count": 1 } };
        for _ in 0..3 {
            let scope = Scope::platform();
            if let Some(counted) = self.counts.update(&scope, &id, doc! {}, more.clone(), Vec::new()).await? {
                let over = u32::try_from(counted.body.count).unwrap_or(0) > most;
                let wait = u64::try_from(ends - now.as_second()).unwrap_or(1);
                return Ok(over.then_some(Duration::from_secs(wait)));
            }
            let first = Count { count: 1, until };
            match self.counts.insert(&scope, id.clone(), first, Vec::new()).await {
                Ok(_) => return Ok(None),
                // Another call was first: count on it.
                Err(store::Error::Duplicate(_)) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

fn id(account: &str) -> String {
    format!("otp_{account}")
}
