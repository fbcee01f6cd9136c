//! The queries of single sign-on.

use std::time::Duration;

use bson::doc;
use kit::{Mode, Outgoing, PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Event, Hold, Identity, Listed, Login, Mark, Settings, Twin};

/// How long events are known, so that one told again is not worked on again. Providers repeat for three days and list
/// the last thirty.
const KEPT: Duration = Duration::from_secs(35 * 24 * 3600);

impl Record for Settings {
    const COLLECTION: &'static str = "sso_settings";
    const NOUN: &'static str = "single sign-on";

    fn indexes() -> Vec<Index> {
        let there = doc! { "body.organization_id": { "$type": "string" } };
        vec![
            Index::global(&["body.organization_id"]).unique().partial(there),
            Index::global(&["body.domains.domain"]),
        ]
    }
}

impl Record for Login {
    const COLLECTION: &'static str = "sso_logins";
    const NOUN: &'static str = "sign-in";

    fn indexes() -> Vec<Index> {
        vec![Index::global(&["body.expires_at"]).ttl(Duration::from_secs(3600))]
    }
}

impl Record for Identity {
    const COLLECTION: &'static str = "sso_identities";
    const NOUN: &'static str = "identity";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.external_id"]).unique(),
            Index::on(&["body.user_id"]),
            Index::global(&["body.external_id"]),
        ]
    }
}

impl Record for Listed {
    const COLLECTION: &'static str = "sso_directory_users";
    const NOUN: &'static str = "directory user";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.external_id"]).unique(), Index::on(&["body.groups.id"])]
    }
}

impl Record for Hold {
    const COLLECTION: &'static str = "sso_holds";
    const NOUN: &'static str = "hold";
}

impl Record for Twin {
    const COLLECTION: &'static str = "sso_sessions";
    const NOUN: &'static str = "session";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.external_id"]),
            Index::on(&["body.open"]),
            Index::global(&["body.ends_at"]).ttl(Duration::from_secs(24 * 3600)),
        ]
    }
}

impl Record for Event {
    const COLLECTION: &'static str = "sso_events";
    const NOUN: &'static str = "event";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.external_id"]).unique(),
            Index::global(&["body.state", "body.due_at"]),
            Index::global(&["created_at"]).ttl(KEPT),
        ]
    }
}

impl Record for Mark {
    const COLLECTION: &'static str = "sso_marks";
    const NOUN: &'static str = "mark";
}

type Result<T> = std::result::Result<T, store::Error>;

/// People and companies have one mode.
pub fn scope(company: &str) -> Scope {
    Scope::new(company, Mode::Live)
}

fn some<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(store::Error::NotFound(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

#[derive(Clone)]
pub struct SsoStore {
    settings: Repo<Settings>,
    logins: Repo<Login>,
    identities: Repo<Identity>,
    listed: Repo<Listed>,
    holds: Repo<Hold>,
    twins: Repo<Twin>,
    events: Repo<Event>,
    marks: Repo<Mark>,
}

impl SsoStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self> {
        Ok(Self {
            settings: Repo::open(db, clock.clone()).await?,
            logins: Repo::open(db, clock.clone()).await?,
            identities: Repo::open(db, clock.clone()).await?,
            listed: Repo::open(db, clock.clone()).await?,
            holds: Repo::open(db, clock.clone()).await?,
            twins: Repo::open(db, clock.clone()).await?,
            events: Repo::open(db, clock.clone()).await?,
            marks: Repo::open(db, clock).await?,
        })
    }

    pub async fn settings(&self, company: &str) -> Result<Option<Stored<Settings>>> {
        some(self.settings.get(&scope(company), &settings_id(company)).await)
    }

    /// The company an organization at the provider belongs to.
    pub async fn by_organization(&self, organization: &str) -> Result<Option<Stored<Settings>>> {
        self.settings.across().find(doc! { "body.organization_id": organization }).await
    }

    /// The companies that have proved this domain to be theirs; more than one is one too many.
    pub async fn by_domain(&self, domain: &str) -> Result<Vec<Stored<Settings>>> {
        let proved = doc! { "$elemMatch": { "domain": domain, "verified": true } };
        self.settings.across().list(doc! { "body.domains": proved }, 2).await
    }

    pub async fn put_settings_in(
        &self,
        tx: &mut Transaction,
        company: &str,
        read: Option<&Stored<Settings>>,
        settings: Settings,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Settings>> {
        match read {
            Some(read) => self.settings.replace_in(tx, read, settings, events).await,
            None => {
                self.settings.insert_in(tx, &scope(company), settings_id(company), settings, events).await
            }
        }
    }

    pub async fn replace_settings(&self, read: &Stored<Settings>, settings: Settings) -> Result<()> {
        self.settings.replace(read, settings, Vec::new()).await.map(|_| ())
    }

    pub async fn begin_login(&self, id: String, login: Login) -> Result<()> {
        self.logins.insert(&Scope::platform(), id, login, Vec::new()).await.map(|_| ())
    }

    /// A sign-in under way, taken once and in time.
    pub async fn take_login(&self, id: &str, now: Timestamp) -> Result<Option<Stored<Login>>> {
        let guard = doc! { "body.used": false, "body.expires_at": { "$gt": store::time::to_bson(now) } };
        let used = doc! { "$set": { "body.used": true } };
        self.logins.update(&Scope::platform(), id, guard, used, Vec::new()).await
    }

    pub async fn identity(&self, company: &str, external_id: &str) -> Result<Option<Stored<Identity>>> {
        self.identities.find(&scope(company), doc! { "body.external_id": external_id }).await
    }

    /// The same person at all companies.
    pub async fn identities(&self, external_id: &str) -> Result<Vec<Stored<Identity>>> {
        self.identities.across().list(doc! { "body.external_id": external_id }, 200).await
    }

    pub async fn add_identity(&self, company: &str, identity: Identity) -> Result<()> {
        self.identities.insert(&scope(company), kit::id::new("sid"), identity, Vec::new()).await.map(|_| ())
    }

    pub async fn remove_identity(&self, read: &Stored<Identity>) -> Result<()> {
        self.identities.remove(&read.scope, &read.id).await.map(|_| ())
    }

    pub async fn listed(&self, company: &str, external_id: &str) -> Result<Option<Stored<Listed>>> {
        self.listed.find(&scope(company), doc! { "body.external_id": external_id }).await
    }

    pub async fn listed_in(&self, company: &str, group: &str) -> Result<Vec<Stored<Listed>>> {
        self.listed.across().list(doc! { "company_id": company, "body.groups.id": group }, 5000).await
    }

    pub async fn put_listed(&self, company: &str, listed: Listed) -> Result<()> {
        let scope = scope(company);
        let id = match self.listed(company, &listed.external_id).await? {
            Some(read) => read.id,
            None => format!("sdu_{company}_{}", listed.external_id),
        };
        self.listed.upsert(&scope, id, listed, Vec::new()).await.map(|_| ())
    }

    /// The companies that have settings.
    pub async fn companies(&self) -> Result<Vec<String>> {
        Ok(self.settings.across().scopes(doc! {}).await?.into_iter().map(|s| s.company).collect())
    }

    /// Everybody of a company's directory whom we know of, by the provider's id.
    pub async fn listed_ids(&self, company: &str) -> Result<Vec<String>> {
        all(&self.listed, company, |listed| listed.external_id).await
    }

    /// Everybody who came to a company by single sign-on, by the provider's id.
    pub async fn identity_ids(&self, company: &str) -> Result<Vec<String>> {
        all(&self.identities, company, |identity| identity.external_id).await
    }

    pub async fn hold(&self, company: &str, user_id: &str) -> Result<Option<Stored<Hold>>> {
        some(self.holds.get(&scope(company), &hold_id(company, user_id)).await)
    }

    pub async fn put_hold(&self, company: &str, hold: Hold) -> Result<()> {
        let id = hold_id(company, &hold.user_id);
        self.holds.upsert(&scope(company), id, hold, Vec::new()).await.map(|_| ())
    }

    pub async fn lift_hold(&self, company: &str, user_id: &str) -> Result<()> {
        self.holds.remove(&scope(company), &hold_id(company, user_id)).await.map(|_| ())
    }

    pub async fn add_twin(&self, twin: Twin) -> Result<()> {
        let id = kit::id::new("stw");
        self.twins.insert(&Scope::platform(), id, twin, Vec::new()).await.map(|_| ())
    }

    /// The open pairs of a session of the provider's: as many as a browser signed in with it.
    pub async fn twins(&self, external_id: &str) -> Result<Vec<Stored<Twin>>> {
        let filter = doc! { "body.external_id": external_id, "body.open": true };
        self.twins
            .across()
            .list(doc! { "company_id": "platform", "mode": "live", "$and": [filter] }, 100)
            .await
    }

    /// Some pairs whose session here is over while the provider's is not.
    pub async fn widowed(&self) -> Result<Vec<(String, String)>> {
        let pipeline = vec![
            doc! { "$match": { "body.open": true } },
            doc! { "$lookup": {
                "from": "sessions", "localField": "body.session_id", "foreignField": "_id", "as": "ours",
                "pipeline": [{ "$project": { "state": "$body.state" } }],
            } },
            doc! { "$match": { "ours.state": { "$ne": "active" } } },
            doc! { "$limit": 100 },
            doc! { "$project": { "external_id": "$body.external_id" } },
        ];
        let found = self.twins.aggregate(&Scope::platform(), pipeline).await?;
        let text = |d: &bson::Document, key: &str| d.get_str(key).unwrap_or_default().to_owned();
        Ok(found.iter().map(|d| (text(d, "_id"), text(d, "external_id"))).collect())
    }

    pub async fn shut(&self, id: &str) -> Result<()> {
        let shut = doc! { "$set": { "body.open": false } };
        self.twins.update(&Scope::platform(), id, doc! {}, shut, Vec::new()).await.map(|_| ())
    }

    /// Keeps an event; false when it was known.
    pub async fn add_event(&self, id: String, event: Event) -> Result<bool> {
        match self.events.insert(&Scope::platform(), id, event, Vec::new()).await {
            Ok(_) => Ok(true),
            Err(store::Error::Duplicate(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    pub async fn event_by_external(&self, external_id: &str) -> Result<Option<Stored<Event>>> {
        self.events.find(&Scope::platform(), doc! { "body.external_id": external_id }).await
    }

    /// Takes the oldest event that is due, so that nobody else does until `until`.
    pub async fn take_event(&self, now: Timestamp, until: Timestamp) -> Result<Option<Stored<Event>>> {
        let due = doc! {
            "body.state": { "$in": ["received", "failed"] },
            "body.due_at": { "$lte": store::time::to_bson(now) },
        };
        let taken = doc! { "$set": { "body.due_at": store::time::to_bson(until) } };
        self.events.across().take(due, doc! { "body.occurred_at": 1, "_id": 1 }, taken).await
    }

    pub async fn replace_event(&self, read: &Stored<Event>, event: Event) -> Result<()> {
        self.events.replace(read, event, Vec::new()).await.map(|_| ())
    }

    pub async fn mark(&self) -> Result<Option<Mark>> {
        Ok(some(self.marks.get(&Scope::platform(), MARK).await)?.map(|read| read.body))
    }

    pub async fn put_mark(&self, mark: Mark) -> Result<()> {
        self.marks.upsert(&Scope::platform(), MARK.into(), mark, Vec::new()).await.map(|_| ())
    }

    /// Takes away whom a company's single sign-on knew. Its settings stay, empty: their change waits there to be told.
    pub async fn forget(&self, company: &str) -> Result<()> {
        let scope = scope(company);
        self.identities.remove_many(&scope, doc! {}).await?;
        self.listed.remove_many(&scope, doc! {}).await?;
        self.holds.remove_many(&scope, doc! {}).await?;
        Ok(())
    }
}

/// One thing of every record of a company.
async fn all<T: Record>(repo: &Repo<T>, company: &str, of: impl Fn(T) -> String) -> Result<Vec<String>> {
    let (scope, mut found) = (scope(company), Vec::new());
    let mut page = PageRequest::new(kit::page::MAX_LIMIT, "");
    loop {
        let read = repo.list(&scope, doc! {}, Sort::Oldest, &page).await?;
        found.extend(read.items.into_iter().map(|read| of(read.body)));
        match read.next_cursor {
            Some(next) => page = PageRequest::new(kit::page::MAX_LIMIT, next),
            None => return Ok(found),
        }
    }
}

const MARK: &str = "events";

fn settings_id(company: &str) -> String {
    format!("sso_{company}")
}

fn hold_id(company: &str, user_id: &str) -> String {
    format!("shd_{company}_{user_id}")
}
