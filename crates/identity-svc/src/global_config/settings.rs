//! The handle the other rooms read settings through. Keeps what it read for less than two seconds, so that a change is
//! in effect everywhere by then even when NATS is down; `config.changed` drops it at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::{Fault, Mode, Scope};
use moka::sync::Cache;

use super::keys::{FlagKey, IntKey, ListKey};
use super::model::{Assigned, Setting, Source, Value};
use super::registry::find;
use super::store::ConfigStore;
use crate::error::{Error, Result};

/// Two seconds are promised; half of one is for a slow read.
const LIFE: Duration = Duration::from_millis(1_500);
/// How many companies' values are kept.
const ROOM: u64 = 20_000;

/// What one level gives, with the version of each value.
pub type Level = HashMap<String, (Assigned, i64)>;

#[derive(Clone)]
pub struct Settings {
    store: ConfigStore,
    levels: Cache<Scope, Arc<Level>>,
    /// Defaults the process was started with.
    started_with: Arc<HashMap<&'static str, Value>>,
}

impl Settings {
    pub fn new(store: ConfigStore, started_with: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self {
            store,
            levels: Cache::builder().max_capacity(ROOM).time_to_live(LIFE).build(),
            started_with: Arc::new(started_with.into_iter().collect()),
        }
    }

    /// Something of this scope changed.
    pub fn forget(&self, scope: &Scope) {
        self.levels.invalidate(scope);
    }

    /// A number for a company, or, without one, for the installation.
    pub async fn int(&self, company: Option<&str>, key: IntKey) -> Result<i64> {
        let scope = company.map(|c| Scope::new(c, Mode::Live));
        match self.value(scope.as_ref(), key.0).await? {
            Value::Int(n) => Ok(n),
            _ => Err(no_such(key.0)),
        }
    }

    pub async fn list(&self, company: Option<&str>, key: ListKey) -> Result<Vec<String>> {
        let scope = company.map(|c| Scope::new(c, Mode::Live));
        match self.value(scope.as_ref(), key.0).await? {
            Value::List(items) => Ok(items),
            _ => Err(no_such(key.0)),
        }
    }

    /// Whether a flag is on for a company in a mode.
    pub async fn is_on(&self, scope: &Scope, key: FlagKey) -> Result<bool> {
        Ok(self.value(Some(scope), key.0).await? == Value::Bool(true))
    }

    async fn value(&self, scope: Option<&Scope>, key: &'static str) -> Result<Value> {
        let setting = find(key).ok_or_else(|| no_such(key))?;
        Ok(self.resolve(scope, setting).await?.0)
    }

    /// What holds, where from, and the version of the level it would be changed at.
    pub async fn resolve(&self, scope: Option<&Scope>, setting: &Setting) -> Result<(Value, Source, i64)> {
        let platform = self.level(&Scope::platform()).await?;
        let own = match scope {
            Some(scope) => Some(self.level(&place(setting, scope)).await?),
            None => None,
        };
        let company = scope.map(|s| s.company.as_str());
        let of = |level: &Arc<Level>| level.get(setting.key).cloned();
        let (above, mine) = (of(&platform), own.as_ref().and_then(of));
        let version = if own.is_some() { &mine } else { &above }.as_ref().map_or(0, |(_, v)| *v);
        let (value, source) = setting.resolve(
            company,
            mine.as_ref().map(|(a, _)| a),
            above.as_ref().map(|(a, _)| a),
            &self.default_of(setting),
        );
        Ok((value, source, version))
    }

    pub fn default_of(&self, setting: &Setting) -> Value {
        self.started_with.get(setting.key).cloned().unwrap_or_else(|| setting.default.value())
    }

    async fn level(&self, scope: &Scope) -> Result<Arc<Level>> {
        if let Some(level) = self.levels.get(scope) {
            return Ok(level);
        }
        let all = self.store.all(scope).await?;
        let level: Level = all.into_iter().map(|s| (s.body.key.clone(), (s.body, s.version))).collect();
        let level = Arc::new(level);
        self.levels.insert(scope.clone(), level.clone());
        Ok(level)
    }
}

/// Where a company's value of a setting stands: one for both modes, or one for each.
pub fn place(setting: &Setting, scope: &Scope) -> Scope {
    if setting.per_mode { scope.clone() } else { Scope::new(&scope.company, Mode::Live) }
}

/// A key of ours that the registry does not have, or has with another type: a test holds against it.
fn no_such(key: &str) -> Error {
    Fault::internal(anyhow::anyhow!("the setting {key} is not in the registry with this type")).into()
}
