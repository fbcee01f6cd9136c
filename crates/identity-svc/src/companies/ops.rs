//! What can be done with companies.

use kit::{Caller, Mode, Page, PageRequest, Role, Scope, SharedClock};
use serde_json::{Value, json};
use store::Stored;

use super::model::{Company, Status, Wanted};
use super::store::CompanyStore;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::global_config::{Settings, keys};
use crate::secrets;
use crate::user_profiles::PeopleStore;

#[derive(Clone)]
pub struct Companies {
    store: CompanyStore,
    people: PeopleStore,
    settings: Settings,
    clock: SharedClock,
}

/// Refuses a company that is not the caller's as if it were not there. Operators reach all of them.
pub fn belongs(caller: &Caller, company: &str) -> Result<()> {
    let own = caller.scope.as_ref().is_some_and(|s| s.company == company);
    if own || matches!(caller.role, Role::KaleAdmin | Role::Internal) {
        Ok(())
    } else {
        Err(store::Error::NotFound("company").into())
    }
}

impl Companies {
    pub fn new(store: CompanyStore, people: PeopleStore, settings: Settings, clock: SharedClock) -> Self {
        Self { store, people, settings, clock }
    }

    pub async fn create(
        &self,
        caller: &Caller,
        name: String,
        slug: String,
        wanted: Wanted,
    ) -> Result<Stored<Company>> {
        let key: String = secrets::token("cpk_")?.chars().take(28).collect();
        let company = Company::new(name, slug, key).with(wanted);
        let wrong = company.wrong();
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        let id = kit::id::new("com");
        let scope = Scope::new(&id, Mode::Live);
        let stamp = Stamp { scope: &scope, subject: &id, sequence: 1, at: self.clock.now() };
        let mut events = vec![stamp.company_changed("created", &company)];
        events.extend(stamp.audited(caller, "company", "company.create", None, Some(&shown(&company))));
        Ok(self.store.insert(id, company, events).await?)
    }

    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Stored<Company>> {
        belongs(caller, id)?;
        Ok(self.store.get(id).await?)
    }

    /// All for an operator; for others those where they are active.
    pub async fn list(
        &self,
        caller: &Caller,
        status: Option<Status>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Company>>> {
        if caller.role == Role::KaleAdmin {
            return Ok(self.store.list(None, status, page).await?);
        }
        let places = self.people.places(&caller.actor.id).await?;
        let ids: Vec<_> =
            places.into_iter().filter(|p| p.body.is_active()).map(|p| p.scope.company).collect();
        Ok(self.store.list(Some(&ids), status, page).await?)
    }

    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        wanted: Wanted,
    ) -> Result<Stored<Company>> {
        let read = self.get(caller, id).await?;
        if read.version != version {
            return Err(store::Error::Stale("company").into());
        }
        if wanted.plan.is_some() && caller.role != Role::KaleAdmin {
            return Err(Error::Forbidden);
        }
        let changed = read.body.with(wanted);
        let wrong = changed.wrong();
        if !wrong.is_empty() {
            return Err(Error::Wrong(wrong));
        }
        self.write(caller, &read, changed, "updated", "company.update").await
    }

    pub async fn suspend(&self, caller: &Caller, id: &str, reason: &str) -> Result<Stored<Company>> {
        let read = self.get(caller, id).await?;
        let changed = read
            .body
            .suspended()
            .ok_or(Error::Refused("wrong_state", "only an active company can be suspended"))?;
        self.write(&because(caller, reason), &read, changed, "suspended", "company.suspend").await
    }

    pub async fn reactivate(&self, caller: &Caller, id: &str) -> Result<Stored<Company>> {
        let read = self.get(caller, id).await?;
        let changed = read
            .body
            .reactivated()
            .ok_or(Error::Refused("wrong_state", "only a suspended or closing company can be reactivated"))?;
        self.write(caller, &read, changed, "reactivated", "company.reactivate").await
    }

    pub async fn close(&self, caller: &Caller, id: &str, reason: &str) -> Result<Stored<Company>> {
        let read = self.get(caller, id).await?;
        let grace_days = self.settings.int(Some(id), keys::COMPANY_CLOSE_GRACE_DAYS).await?;
        let changed = read
            .body
            .closing(self.clock.now(), grace_days)
            .ok_or(Error::Refused("wrong_state", "the company is closing or closed already"))?;
        self.write(&because(caller, reason), &read, changed, "closing", "company.close").await
    }

    /// Closes those whose time of grace is over: the job `company_closing`.
    pub async fn close_due(&self) -> Result<()> {
        let now = self.clock.now();
        for read in self.store.due_to_close(now).await? {
            let Some(changed) = read.body.closed(now) else { continue };
            let caller = Caller::internal(crate::NAME, None);
            match self.write(&caller, &read, changed, "closed", "company.closed").await {
                // Taken back, or closed by another replica, just now.
                Ok(_) | Err(Error::Store(store::Error::Stale(_))) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        caller: &Caller,
        read: &Stored<Company>,
        changed: Company,
        what: &str,
        action: &str,
    ) -> Result<Stored<Company>> {
        let scope = Scope::new(&read.id, Mode::Live);
        let stamp =
            Stamp { scope: &scope, subject: &read.id, sequence: read.version + 1, at: self.clock.now() };
        let mut events = vec![stamp.company_changed(what, &changed)];
        let (before, after) = (shown(&read.body), shown(&changed));
        events.extend(stamp.audited(caller, "company", action, Some(&before), Some(&after)));
        Ok(self.store.replace(read, changed, events).await?)
    }
}

/// The caller with the reason the trail shall show.
fn because(caller: &Caller, reason: &str) -> Caller {
    let reason = Some(reason.to_owned()).filter(|r| !r.is_empty());
    Caller { reason: reason.or_else(|| caller.reason.clone()), ..caller.clone() }
}

/// What the audit trail keeps.
fn shown(c: &Company) -> Value {
    json!({
        "name": c.name, "slug": c.slug, "status": c.status.as_str(), "plan": c.plan,
        "default_currency": c.default_currency, "time_zone": c.time_zone, "locales": c.locales,
        "regions": c.regions, "widget_origins": c.widget_origins,
        "product_upload_enabled": c.product_upload_enabled, "raw_data_days": c.raw_data_days,
        "modes": c.modes.iter().map(|m| m.as_str()).collect::<Vec<_>>(),
        "expert_rights": c.expert_rights.shown(), "closes_at": c.closes_at.map(|at| at.to_string()),
    })
}
