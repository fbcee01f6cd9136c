//! People's places in a company, as its identity provider has them: given, changed, shut and opened again.

use kit::caller::Actor;
use kit::{Caller, Role, Scope, SharedClock};
use serde_json::json;
use store::{Stored, Transaction};

use super::model::Hold;
use super::store::{SsoStore, scope};
use crate::companies::{Company, CompanyStore, Status as CompanyStatus};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::user_profiles::{Member, People, PeopleStore, Permissions, Person, Status};
use crate::user_session::Sessions;

/// Changes places in the provider's name.
#[derive(Clone)]
pub struct Places {
    /// The provider's name.
    pub provider: &'static str,
    pub store: SsoStore,
    pub people: People,
    pub people_store: PeopleStore,
    pub companies: CompanyStore,
    pub sessions: Sessions,
    pub db: Db,
    pub clock: SharedClock,
}

impl Places {
    /// The provider, as the trail names it.
    fn caller(&self, scope: &Scope, why: Option<&str>) -> Caller {
        Caller {
            role: Role::Provider,
            actor: Actor::new("provider", self.provider),
            reason: why.map(str::to_owned),
            ..Caller::internal(crate::NAME, Some(scope.clone()))
        }
    }

    /// A person's place in a company, if there is or was one.
    pub async fn place(&self, company: &str, user_id: &str) -> Result<Option<Stored<Member>>> {
        match self.people_store.member(&scope(company), user_id).await {
            Ok(place) => Ok(Some(place)),
            Err(store::Error::NotFound(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Keeps a person out until the provider lets them in again. The last admin keeps the place, as a company must have
    /// one, but no session.
    pub async fn keep_out(&self, scope: &Scope, user_id: &str, why: &str) -> Result<()> {
        let Some(place) = self.place(&scope.company, user_id).await? else { return Ok(()) };
        if !place.body.is_active() {
            return Ok(());
        }
        let hold = Hold { user_id: user_id.to_owned(), why: why.to_owned() };
        self.store.put_hold(&scope.company, hold).await?;
        match self.people.set_status(&self.caller(scope, Some(why)), user_id, Status::Suspended).await {
            Ok(_) => {
                tracing::info!(user.id = user_id, company.id = scope.company, "{user_id} is kept out: {why}");
                Ok(())
            }
            Err(Error::Refused("last_admin", _)) => {
                tracing::warn!(
                    user.id = user_id,
                    company.id = scope.company,
                    "{user_id} is the last admin: the sessions end, the place stays ({why})"
                );
                self.store.lift_hold(&scope.company, user_id).await?;
                self.sessions.revoke_each(user_id, &scope.company).await
            }
            // Somebody else shut or took it meanwhile.
            Err(Error::Refused("wrong_state", _)) => {
                Ok(self.store.lift_hold(&scope.company, user_id).await?)
            }
            Err(e) => Err(e),
        }
    }

    /// Lets a person in again whom the provider had us keep out; nobody else.
    pub async fn let_in(&self, scope: &Scope, user_id: &str, role: Option<Role>) -> Result<()> {
        if self.store.hold(&scope.company, user_id).await?.is_some() {
            match self.people.set_status(&self.caller(scope, None), user_id, Status::Active).await {
                Ok(_) | Err(Error::Refused("wrong_state", _)) => {}
                Err(e) => return Err(e),
            }
            self.store.lift_hold(&scope.company, user_id).await?;
        }
        match role {
            Some(role) => self.set_role(scope, user_id, role).await,
            None => Ok(()),
        }
    }

    /// Gives a member another role; the last admin keeps theirs.
    pub async fn set_role(&self, scope: &Scope, user_id: &str, role: Role) -> Result<()> {
        let Some(place) = self.place(&scope.company, user_id).await? else { return Ok(()) };
        if place.body.role == role || !place.body.is_active() {
            return Ok(());
        }
        match self.people.set_role(&self.caller(scope, None), user_id, place.version, Some(role)).await {
            Err(Error::Refused("last_admin", _)) => {
                tracing::warn!(
                    user.id = user_id,
                    company.id = scope.company,
                    "{user_id} stays an admin: the company has no other"
                );
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// A new place, for a person who may be new as well.
    pub async fn welcome(
        &self,
        scope: &Scope,
        known: Option<Stored<Person>>,
        email: &str,
        name: &str,
        role: Role,
    ) -> Result<Stored<Person>> {
        let caller = self.caller(scope, None);
        let company = self.companies.get(&scope.company).await?;
        let is_new = known.is_none();
        let user_id = known.map_or_else(|| kit::id::new("usr"), |p| p.id);
        let name = if name.is_empty() { email } else { name };
        let at = self.clock.now();
        let stamp = Stamp { scope, subject: &user_id, sequence: 1, at };
        let after = json!({ "role": role.as_str() });
        let mut activated = vec![stamp.user_changed("activated", &user_id, role)];
        activated.extend(stamp.audited(&caller, "user", "user.join", None, Some(&after)));
        let active = Company { status: CompanyStatus::Active, ..company.body.clone() };
        let sequence = company.version + 1;
        let coming = Coming {
            people: self.people_store.clone(),
            companies: self.companies.clone(),
            scope: scope.clone(),
            user_id: user_id.clone(),
            person: is_new.then(|| Person::new(email, name, "", "")),
            member: Member {
                user_id: user_id.clone(),
                role,
                status: Status::Active,
                permissions: Permissions::default(),
                since: Some(at),
            },
            activated,
            company_event: Stamp { scope, subject: &scope.company, sequence, at }
                .company_changed("updated", &active),
        };
        let done: Result<()> =
            store::transaction(self.db.handle(), async move |tx| coming.clone().run(tx).await).await;
        done?;
        tracing::info!(user.id = user_id, company.id = scope.company, "{user_id} came by single sign-on");
        Ok(self.people_store.person(&user_id).await?)
    }
}

/// Everything a newcomer writes.
#[derive(Clone)]
struct Coming {
    people: PeopleStore,
    companies: CompanyStore,
    scope: Scope,
    user_id: String,
    person: Option<Person>,
    member: Member,
    activated: Vec<kit::Outgoing>,
    company_event: kit::Outgoing,
}

impl Coming {
    async fn run(self, tx: &mut Transaction) -> Result<()> {
        let Self { people, companies, scope, user_id, person, member, activated, company_event } = self;
        let role = member.role;
        if let Some(person) = person {
            people.add_person_in(tx, user_id, person).await?;
        }
        people.add_member_in(tx, &scope, kit::id::new("mem"), member, activated).await?;
        if role == Role::RetAdmin {
            companies.activate(tx, &scope.company, vec![company_event]).await?;
        }
        Ok(())
    }
}
