//! What can be done with settings.

use kit::{Caller, Code, Fault, Page, PageRequest, Role, Scope, SharedClock};
use serde_json::{Value as Json, json};
use store::Stored;

use super::model::{Assigned, Change, Editor, Setting, Source, Value};
use super::registry::{SETTINGS, find};
use super::settings::{Settings, place};
use super::store::ConfigStore;
use crate::db::Db;
use crate::error::{Error, Result};
use crate::events::Stamp;

#[derive(Clone)]
pub struct GlobalConfig {
    store: ConfigStore,
    settings: Settings,
    db: Db,
    clock: SharedClock,
}

/// A setting with what both levels give it.
pub struct Listed {
    pub setting: &'static Setting,
    pub default: Value,
    pub platform: Option<Stored<Assigned>>,
    /// None where no company was named.
    pub company: Option<Option<Stored<Assigned>>>,
}

/// What holds for one setting.
pub struct Effective {
    pub setting: &'static Setting,
    pub value: Value,
    pub source: Source,
    pub version: i64,
    pub editable: bool,
}

fn known(key: &str) -> Result<&'static Setting> {
    find(key).ok_or_else(|| store::Error::NotFound("setting").into())
}

/// Whether a caller may give a setting a value where they act.
fn may_edit(caller: &Caller, setting: &Setting) -> bool {
    match caller.role {
        Role::KaleAdmin => caller.scope.is_none() || setting.editor != Editor::Platform,
        Role::RetAdmin => setting.editor == Editor::Company,
        _ => false,
    }
}

/// The level a caller acts at: the installation's for an operator without a company.
fn level(caller: &Caller, setting: &Setting) -> Result<Scope> {
    match (caller.role, &caller.scope) {
        (Role::KaleAdmin, None) => Ok(Scope::platform()),
        _ => Ok(place(setting, caller.scope()?)),
    }
}

impl GlobalConfig {
    pub fn new(store: ConfigStore, settings: Settings, db: Db, clock: SharedClock) -> Self {
        Self { store, settings, db, clock }
    }

    /// Every setting, with what is given to it now.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Listed>> {
        let platform = self.store.all(&Scope::platform()).await?;
        let mut own = Vec::new();
        if let Some(scope) = &caller.scope {
            own = self.store.all(scope).await?;
            let live = Scope::new(&scope.company, kit::Mode::Live);
            if live != *scope {
                own.extend(self.store.all(&live).await?);
            }
        }
        let listed = SETTINGS.iter().map(|setting| Listed {
            setting,
            default: self.settings.default_of(setting),
            platform: platform.iter().find(|s| s.body.key == setting.key).cloned(),
            company: caller.scope.as_ref().map(|scope| {
                let at = place(setting, scope);
                own.iter().find(|s| s.body.key == setting.key && s.scope == at).cloned()
            }),
        });
        Ok(listed.collect())
    }

    /// What holds for the caller's company now.
    pub async fn effective(&self, caller: &Caller) -> Result<Vec<Effective>> {
        let mut all = Vec::with_capacity(SETTINGS.len());
        for setting in &SETTINGS {
            let (value, source, version) = self.settings.resolve(caller.scope.as_ref(), setting).await?;
            all.push(Effective { setting, value, source, version, editable: may_edit(caller, setting) });
        }
        Ok(all)
    }

    /// Gives a setting a value, or with none takes the level's value away.
    pub async fn put(
        &self,
        caller: &Caller,
        key: &str,
        version: i64,
        value: Option<Json>,
        rollout: Option<u32>,
    ) -> Result<Stored<Assigned>> {
        let setting = known(key)?;
        let value = value.map(|json| setting.read(json)).transpose().map_err(|e| Error::Wrong(vec![e]))?;
        self.change(caller, setting, version, value, rollout, None).await
    }

    /// Gives a setting the value an earlier version gave it.
    pub async fn rollback(
        &self,
        caller: &Caller,
        key: &str,
        version: i64,
        to: i64,
    ) -> Result<Stored<Assigned>> {
        let setting = known(key)?;
        let old = self.store.change(&level(caller, setting)?, key, to).await?.body;
        if let Some(value) = &old.after {
            // The bounds may have changed since.
            setting.check(value).map_err(|e| Error::field("to_version", &e.code, e.message))?;
        }
        self.change(caller, setting, version, old.after, old.rollout_after, Some(to)).await
    }

    pub async fn history(
        &self,
        caller: &Caller,
        key: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<Change>>> {
        let setting = known(key)?;
        Ok(self.store.history(&level(caller, setting)?, key, page).await?)
    }

    async fn change(
        &self,
        caller: &Caller,
        setting: &'static Setting,
        version: i64,
        value: Option<Value>,
        rollout: Option<u32>,
        rolled_back_to: Option<i64>,
    ) -> Result<Stored<Assigned>> {
        if !may_edit(caller, setting) {
            return Err(Error::Forbidden);
        }
        let scope = level(caller, setting)?;
        let for_company = scope.company != Scope::platform().company;
        if for_company && caller.role == Role::KaleAdmin && caller.reason.is_none() {
            let text = "say why you change what is a company's";
            return Err(Fault::new(Code::Invalid, "reason_required", text).into());
        }
        if rollout.is_some() && (for_company || !setting.flag || value != Some(Value::Bool(true))) {
            let text = "is for a flag of the installation that is on";
            return Err(Error::field("rollout", "config.rollout", text));
        }
        if let Some(value) = value.as_ref().filter(|_| for_company) {
            let (above, ..) = self.settings.resolve(None, setting).await?;
            setting.check_below(value, &above).map_err(|e| Error::Wrong(vec![e]))?;
        }
        let read = self.store.one(&scope, setting.key).await?;
        let at_version = read.as_ref().map_or(0, |r| r.version);
        if at_version != version {
            return Err(store::Error::Stale("setting").into());
        }
        let now = self.clock.now();
        let before = read.as_ref().map(|r| r.body.clone());
        let next = Assigned {
            key: setting.key.to_owned(),
            value,
            rollout,
            changed_by: caller.actor.id.clone(),
            changed_at: now,
        };
        let change = Change {
            key: setting.key.to_owned(),
            version: version + 1,
            before: before.as_ref().and_then(|b| b.value.clone()),
            after: next.value.clone(),
            rollout_before: before.as_ref().and_then(|b| b.rollout),
            rollout_after: rollout,
            changed_by: caller.actor.id.clone(),
            role: caller.role.as_str().to_owned(),
            reason: caller.reason.clone().unwrap_or_default(),
            changed_at: now,
            rolled_back_to,
        };
        let stamp = Stamp { scope: &scope, subject: setting.key, sequence: version + 1, at: now };
        let action = if rolled_back_to.is_some() { "config.rollback" } else { "config.put" };
        let (was, is) = (before.as_ref().map(shown), shown(&next));
        let mut events = vec![stamp.config_changed()];
        events.extend(stamp.audited(caller, "config", action, was.as_ref(), Some(&is)));
        let writing = Writing { store: self.store.clone(), scope: scope.clone(), read, next, change, events };
        let done: Result<_> =
            store::transaction(self.db.handle(), async move |tx| writing.clone().run(tx).await).await;
        // Also after a failure: it may have been written before it failed.
        self.settings.forget(&scope);
        done
    }
}

/// A value and its history, written together.
#[derive(Clone)]
struct Writing {
    store: ConfigStore,
    scope: Scope,
    read: Option<Stored<Assigned>>,
    next: Assigned,
    change: Change,
    events: Vec<kit::Outgoing>,
}

impl Writing {
    async fn run(self, tx: &mut store::Transaction) -> Result<Stored<Assigned>> {
        let Self { store, scope, read, next, change, events } = self;
        Ok(store.write(tx, &scope, read.as_ref(), next, change, events).await?)
    }
}

/// What the audit trail keeps.
fn shown(a: &Assigned) -> Json {
    json!({ "value": a.value, "rollout": a.rollout })
}
