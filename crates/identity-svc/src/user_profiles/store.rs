//! The queries of people and of their places.

use bson::{Document, doc};
use kit::{Outgoing, Page, PageRequest, Role, Scope, SharedClock, Timestamp};
use mongodb::Database;
use store::{Index, Record, Repo, Sort, Stored, Transaction};

use super::model::{Member, Person, Status};

impl Record for Person {
    const COLLECTION: &'static str = "people";
    const NOUN: &'static str = "user";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.email_key"]).unique()]
    }
}

impl Record for Member {
    const COLLECTION: &'static str = "members";
    const NOUN: &'static str = "user";

    fn indexes() -> Vec<Index> {
        vec![
            Index::on(&["body.user_id"]).unique(),
            Index::global(&["body.user_id"]),
            Index::on(&["body.role", "body.status"]),
        ]
    }
}

/// Which members a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub role: Option<Role>,
    pub status: Option<Status>,
}

/// The most companies one person serves.
const MOST_PLACES: u32 = 200;

#[derive(Clone)]
pub struct PeopleStore {
    people: Repo<Person>,
    members: Repo<Member>,
}

impl PeopleStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { people: Repo::open(db, clock.clone()).await?, members: Repo::open(db, clock).await? })
    }

    pub async fn person(&self, id: &str) -> Result<Stored<Person>, store::Error> {
        self.people.get(&Scope::platform(), id).await
    }

    pub async fn people(&self, ids: &[String]) -> Result<Vec<Stored<Person>>, store::Error> {
        self.people.get_many(&Scope::platform(), ids).await
    }

    pub async fn by_email(&self, email_key: &str) -> Result<Option<Stored<Person>>, store::Error> {
        self.people.find(&Scope::platform(), doc! { "body.email_key": email_key }).await
    }

    pub async fn operators(&self) -> Result<u64, store::Error> {
        self.people.count(&Scope::platform(), doc! { "body.kale_admin": true }).await
    }

    pub async fn add_person(&self, id: String, person: Person) -> Result<Stored<Person>, store::Error> {
        self.people.insert(&Scope::platform(), id, person, Vec::new()).await
    }

    pub async fn add_person_in(
        &self,
        tx: &mut Transaction,
        id: String,
        person: Person,
    ) -> Result<Stored<Person>, store::Error> {
        self.people.insert_in(tx, &Scope::platform(), id, person, Vec::new()).await
    }

    pub async fn replace_person(
        &self,
        read: &Stored<Person>,
        person: Person,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Person>, store::Error> {
        self.people.replace(read, person, events).await
    }

    /// Notes that a person was here, and for which company.
    pub async fn seen(&self, id: &str, at: Timestamp, company: Option<&str>) -> Result<(), store::Error> {
        let update = doc! {
            "$set": { "body.last_seen_at": store::time::to_bson(at), "body.last_company": company },
        };
        self.people.update(&Scope::platform(), id, Document::new(), update, Vec::new()).await.map(|_| ())
    }

    /// The places a person has, in all companies.
    pub async fn places(&self, user_id: &str) -> Result<Vec<Stored<Member>>, store::Error> {
        self.members.across().list(doc! { "body.user_id": user_id }, MOST_PLACES).await
    }

    pub async fn member(&self, scope: &Scope, user_id: &str) -> Result<Stored<Member>, store::Error> {
        self.members
            .find(scope, doc! { "body.user_id": user_id })
            .await?
            .ok_or(store::Error::NotFound("user"))
    }

    pub async fn members(
        &self,
        scope: &Scope,
        filter: &Filter,
        page: &PageRequest,
    ) -> Result<Page<Stored<Member>>, store::Error> {
        let mut query = Document::new();
        if let Some(role) = filter.role {
            query.insert("body.role", role.as_str());
        }
        match filter.status {
            Some(status) => query.insert("body.status", status.as_str()),
            None => query.insert("body.status", doc! { "$ne": "removed" }),
        };
        self.members.list(scope, query, Sort::Newest, page).await
    }

    /// The active members with one of these roles.
    pub async fn active(&self, scope: &Scope, roles: &[Role]) -> Result<Vec<Stored<Member>>, store::Error> {
        let roles: Vec<_> = roles.iter().map(|r| r.as_str()).collect();
        let filter = doc! { "body.role": { "$in": roles }, "body.status": "active" };
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        Ok(self.members.list(scope, filter, Sort::Oldest, &page).await?.items)
    }

    /// How many active admins there are beside this one.
    pub async fn other_admins(&self, scope: &Scope, user_id: &str) -> Result<u64, store::Error> {
        let filter = doc! {
            "body.role": "ret_admin", "body.status": "active", "body.user_id": { "$ne": user_id },
        };
        self.members.count(scope, filter).await
    }

    pub async fn add_member_in(
        &self,
        tx: &mut Transaction,
        scope: &Scope,
        id: String,
        member: Member,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Member>, store::Error> {
        self.members.insert_in(tx, scope, id, member, events).await
    }

    pub async fn replace_member(
        &self,
        read: &Stored<Member>,
        member: Member,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Member>, store::Error> {
        self.members.replace(read, member, events).await
    }

    pub async fn replace_member_in(
        &self,
        tx: &mut Transaction,
        read: &Stored<Member>,
        member: Member,
        events: Vec<Outgoing>,
    ) -> Result<Stored<Member>, store::Error> {
        self.members.replace_in(tx, read, member, events).await
    }
}
