//! What can be done with people.

use std::collections::HashMap;

use kit::{Caller, Mode, Page, PageRequest, Role, Scope, SharedClock};
use serde_json::{Value, json};
use store::Stored;

use super::model::{Member, Permissions, Person, ProfileChange, Status};
use super::store::{Filter, PeopleStore};
use crate::companies::CompanyStore;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::events::{Access, Stamp};
use crate::user_session::Sessions;

/// How often a change that lost a race is tried again.
const TRIES: usize = 5;

#[derive(Clone)]
pub struct People {
    store: PeopleStore,
    companies: CompanyStore,
    sessions: Sessions,
    db: Db,
    clock: SharedClock,
}

/// A member and the person behind.
pub type Entry = (Stored<Member>, Stored<Person>);

/// People belong to a company, not to a mode.
fn company(caller: &Caller) -> Result<Scope> {
    Ok(Scope::new(&caller.scope()?.company, Mode::Live))
}

impl People {
    pub fn new(
        store: PeopleStore,
        companies: CompanyStore,
        sessions: Sessions,
        db: Db,
        clock: SharedClock,
    ) -> Self {
        Self { store, companies, sessions, db, clock }
    }

    /// Makes the first operator, where there is none.
    pub async fn bootstrap(&self, email: &str) -> Result<()> {
        if !super::model::is_email(email) {
            return Err(Error::field("bootstrap_admin", "email", "is no e-mail address"));
        }
        if self.store.operators().await? > 0 {
            return Ok(());
        }
        let person = Person { kale_admin: true, ..Person::new(email, "Operator", "en", "UTC") };
        match self.store.add_person(kit::id::new("usr"), person).await {
            // Another replica was first.
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    pub async fn list(&self, caller: &Caller, filter: &Filter, page: &PageRequest) -> Result<Page<Entry>> {
        let page = self.store.members(&company(caller)?, filter, page).await?;
        let ids: Vec<_> = page.items.iter().map(|m| m.body.user_id.clone()).collect();
        let people: HashMap<_, _> =
            self.store.people(&ids).await?.into_iter().map(|p| (p.id.clone(), p)).collect();
        let items = page
            .items
            .into_iter()
            .filter_map(|m| people.get(&m.body.user_id).cloned().map(|p| (m, p)))
            .collect();
        Ok(Page { items, next_cursor: page.next_cursor })
    }

    pub async fn get(&self, caller: &Caller, user_id: &str) -> Result<Entry> {
        let member = self.store.member(&company(caller)?, user_id).await?;
        let person = self.store.person(user_id).await?;
        Ok((member, person))
    }

    /// The caller, and their place in the company of the session, if it is for one.
    pub async fn me(&self, caller: &Caller) -> Result<(Option<Stored<Member>>, Stored<Person>)> {
        let person = self.store.person(&caller.actor.id).await?;
        let member = match &caller.scope {
            Some(_) if caller.role != Role::KaleAdmin => {
                Some(self.store.member(&company(caller)?, &caller.actor.id).await?)
            }
            _ => None,
        };
        Ok((member, person))
    }

    pub async fn update_me(
        &self,
        caller: &Caller,
        version: i64,
        change: ProfileChange,
    ) -> Result<(Option<Stored<Member>>, Stored<Person>)> {
        let (member, read) = self.me(caller).await?;
        if read.version != version {
            return Err(store::Error::Stale("user").into());
        }
        if let Some(zone) = &change.time_zone
            && !crate::companies::is_time_zone(zone)
        {
            return Err(Error::field("time_zone", "time_zone.unknown", "is no IANA time zone"));
        }
        let changed = read.body.with(change);
        let scope = caller.scope.clone().unwrap_or_else(Scope::platform);
        let stamp =
            Stamp { scope: &scope, subject: &read.id, sequence: read.version + 1, at: self.clock.now() };
        let after = json!({ "locale": changed.locale, "time_zone": changed.time_zone });
        let events = stamp.audited(caller, "user", "user.update_profile", None, Some(&after));
        let stored = self.store.replace_person(&read, changed, events.into_iter().collect()).await?;
        Ok((member, stored))
    }

    pub async fn set_role(
        &self,
        caller: &Caller,
        user_id: &str,
        version: i64,
        role: Option<Role>,
    ) -> Result<Entry> {
        let read = self.store.member(&company(caller)?, user_id).await?;
        if read.version != version {
            return Err(store::Error::Stale("user").into());
        }
        let role = role.unwrap_or(read.body.role);
        let changed = Member { role, since: Some(self.clock.now()), ..read.body.clone() };
        self.change(caller, read, changed, "user.set_role").await
    }

    pub async fn set_permissions(
        &self,
        caller: &Caller,
        user_id: &str,
        permissions: Permissions,
    ) -> Result<Entry> {
        let read = self.store.member(&company(caller)?, user_id).await?;
        let changed = Member { permissions, ..read.body.clone() };
        self.change(caller, read, changed, "user.set_permissions").await
    }

    pub async fn set_status(&self, caller: &Caller, user_id: &str, to: Status) -> Result<Entry> {
        let read = self.store.member(&company(caller)?, user_id).await?;
        let (allowed, action) = match (read.body.status, to) {
            (Status::Active, Status::Suspended) => (true, "user.suspend"),
            (Status::Suspended, Status::Active) => (true, "user.restore"),
            (Status::Active | Status::Suspended, Status::Removed) => (true, "user.remove"),
            _ => (false, ""),
        };
        if !allowed {
            return Err(Error::Refused("wrong_state", "the person's state does not allow this"));
        }
        let changed = Member { status: to, since: Some(self.clock.now()), ..read.body.clone() };
        self.change(caller, read, changed, action).await
    }

    /// Writes a changed place. One that would leave the company without an active admin is refused, also when two such
    /// changes run at once; one that takes something away ends the person's sessions there.
    async fn change(
        &self,
        caller: &Caller,
        read: Stored<Member>,
        changed: Member,
        action: &str,
    ) -> Result<Entry> {
        let stamp = Stamp {
            scope: &read.scope,
            subject: &read.body.user_id,
            sequence: read.version + 1,
            at: self.clock.now(),
        };
        let (before, after) = (shown(&read.body), shown(&changed));
        let mut events: Vec<_> =
            stamp.audited(caller, "user", action, Some(&before), Some(&after)).into_iter().collect();
        events.push(stamp.access_changed(Access::User(&read.body.user_id)));
        if changed.status == Status::Removed {
            events.push(stamp.user_changed("removed", &read.body.user_id, changed.role));
        }
        let ends = changed.since != read.body.since;
        let stored = if read.body.is_admin() && !changed.is_admin() {
            self.without_admin(&read, changed, events).await?
        } else {
            self.store.replace_member(&read, changed, events).await?
        };
        if ends {
            self.sessions.revoke_at(&stored.body.user_id, &stored.scope.company).await?;
        }
        let person = self.store.person(&stored.body.user_id).await?;
        Ok((stored, person))
    }

    async fn without_admin(
        &self,
        read: &Stored<Member>,
        changed: Member,
        events: Vec<kit::Outgoing>,
    ) -> Result<Stored<Member>> {
        for _ in 0..TRIES {
            let company = self.companies.get(&read.scope.company).await?;
            if self.store.other_admins(&read.scope, &read.body.user_id).await? == 0 {
                let text = "a company keeps one active retention admin; name another one first";
                return Err(Error::Refused("last_admin", text));
            }
            let leaving = Leaving {
                store: self.store.clone(),
                companies: self.companies.clone(),
                epoch: company.body.admins_epoch,
                read: read.clone(),
                changed: changed.clone(),
                events: events.clone(),
            };
            let done: Result<Stored<Member>> =
                store::transaction(self.db.handle(), async move |tx| leaving.clone().run(tx).await).await;
            match done {
                Err(Error::Store(store::Error::Busy)) => {}
                other => return other,
            }
        }
        Err(store::Error::Busy.into())
    }
}

/// An admin leaving: one write at the company that only one such change at a time can make, one at the place.
#[derive(Clone)]
struct Leaving {
    store: PeopleStore,
    companies: CompanyStore,
    epoch: i64,
    read: Stored<Member>,
    changed: Member,
    events: Vec<kit::Outgoing>,
}

impl Leaving {
    async fn run(self, tx: &mut store::Transaction) -> Result<Stored<Member>> {
        self.companies.bump_admins(tx, &self.read.scope.company, self.epoch).await?;
        Ok(self.store.replace_member_in(tx, &self.read, self.changed, self.events).await?)
    }
}

/// What the audit trail keeps.
fn shown(m: &Member) -> Value {
    json!({
        "role": m.role.as_str(), "status": m.status.as_str(), "permissions": m.permissions.shown(),
    })
}
