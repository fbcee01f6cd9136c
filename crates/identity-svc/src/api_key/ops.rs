//! What can be done with API keys.

use kit::{Caller, Mode, Scope, SharedClock, Timestamp};
use serde_json::json;
use store::Stored;

use super::model::{ApiKey, hint, prefix};
use super::store::ApiKeyStore;
use crate::companies::{CompanyStore, belongs};
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::secrets;

/// The most keys a company may have per mode, revoked ones included.
const MOST: u64 = 200;
/// How exact the note of the last use is.
const USE_STEP: i64 = 60;

#[derive(Clone)]
pub struct ApiKeys {
    store: ApiKeyStore,
    companies: CompanyStore,
    clock: SharedClock,
}

impl ApiKeys {
    pub fn new(store: ApiKeyStore, companies: CompanyStore, clock: SharedClock) -> Self {
        Self { store, companies, clock }
    }

    /// The keys of both modes, newest first.
    pub async fn list(&self, caller: &Caller, company: &str) -> Result<Vec<Stored<ApiKey>>> {
        self.reach(caller, company).await?;
        let mut keys = self.store.list(&Scope::new(company, Mode::Live)).await?;
        keys.extend(self.store.list(&Scope::new(company, Mode::Test)).await?);
        keys.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(keys)
    }

    async fn reach(&self, caller: &Caller, company: &str) -> Result<()> {
        belongs(caller, company)?;
        self.companies.get(company).await?;
        Ok(())
    }

    /// Makes a key; its secret is in the answer and nowhere else.
    pub async fn create(
        &self,
        caller: &Caller,
        company: &str,
        mode: Mode,
        name: String,
        scopes: Vec<String>,
        expires_at: Option<Timestamp>,
    ) -> Result<(Stored<ApiKey>, String)> {
        self.reach(caller, company).await?;
        let now = self.clock.now();
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Error::field("expires_at", "timestamp.future", "must be in the future"));
        }
        let scope = Scope::new(company, mode);
        if self.store.count(&scope).await? >= MOST {
            return Err(Error::Refused("too_many_keys", "a company has at most 200 keys per mode"));
        }
        let secret = secrets::token(prefix(mode))?;
        let key = ApiKey {
            name,
            hash: secrets::hash(&secret),
            hint: hint(mode, &secret),
            scopes,
            created_by: caller.actor.id.clone(),
            expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let id = kit::id::new("key");
        let stamp = Stamp { scope: &scope, subject: &id, sequence: 1, at: now };
        let after = json!({ "name": key.name, "mode": mode.as_str(), "scopes": key.scopes });
        let events = stamp.audited(caller, "api_key", "api_key.create", None, Some(&after));
        let stored = self.store.insert(&scope, id, key, events.into_iter().collect()).await?;
        Ok((stored, secret))
    }

    /// Revokes a key; twice does no harm.
    pub async fn revoke(&self, caller: &Caller, company: &str, id: &str) -> Result<()> {
        self.reach(caller, company).await?;
        let read = match self.store.get(&Scope::new(company, Mode::Live), id).await {
            Err(store::Error::NotFound(_)) => self.store.get(&Scope::new(company, Mode::Test), id).await?,
            other => other?,
        };
        if read.body.revoked_at.is_some() {
            return Ok(());
        }
        let now = self.clock.now();
        let stamp = Stamp { scope: &read.scope, subject: id, sequence: read.version + 1, at: now };
        let events = stamp.audited(caller, "api_key", "api_key.revoke", None, None);
        let changed = ApiKey { revoked_at: Some(now), ..read.body.clone() };
        self.store.replace(&read, changed, events.into_iter().collect()).await?;
        Ok(())
    }

    /// The key behind a secret's hash, and its company's status. One refusal for everything that is wrong with it.
    pub async fn resolve(&self, hash: &str) -> Result<(Stored<ApiKey>, String)> {
        let now = self.clock.now();
        let key = self.store.by_hash(hash).await?.filter(|k| k.body.is_good(now)).ok_or(Error::Key)?;
        let company = self.companies.get(&key.scope.company).await?;
        if !company.body.status.admits() {
            return Err(Error::Key);
        }
        if key.body.last_used_at.is_none_or(|at| now.as_second() - at.as_second() >= USE_STEP) {
            self.store.used(&key, now).await?;
        }
        Ok((key, company.body.status.as_str().to_owned()))
    }
}
