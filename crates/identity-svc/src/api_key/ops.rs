//! What can be done with API keys.

use jiff::SignedDuration;
use kit::{Caller, Mode, Scope, SharedClock, Timestamp};
use serde_json::json;
use store::Stored;

use super::model::{ApiKey, hint, prefix};
use super::store::ApiKeyStore;
use crate::companies::{Company, CompanyStore, belongs};
use crate::error::{Error, Result};
use crate::events::{Access, Stamp};
use crate::global_config::{Settings, keys};
use crate::secrets;

/// The most keys a company may have per mode, revoked ones included.
const MOST: u64 = 200;
/// A key as it is asked for.
#[derive(Clone, Debug)]
pub struct WantedKey {
    pub name: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub replaces: Option<String>,
    pub overlap: Option<SignedDuration>,
}

/// How exact the note of the last use is.
const USE_STEP: i64 = 60;

#[derive(Clone)]
pub struct ApiKeys {
    store: ApiKeyStore,
    companies: CompanyStore,
    settings: Settings,
    clock: SharedClock,
}

impl ApiKeys {
    pub fn new(store: ApiKeyStore, companies: CompanyStore, settings: Settings, clock: SharedClock) -> Self {
        Self { store, companies, settings, clock }
    }

    /// The keys of both modes, newest first.
    pub async fn list(&self, caller: &Caller, company: &str) -> Result<Vec<Stored<ApiKey>>> {
        self.reach(caller, company).await?;
        let mut keys = self.store.list(&Scope::new(company, Mode::Live)).await?;
        keys.extend(self.store.list(&Scope::new(company, Mode::Test)).await?);
        keys.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(keys)
    }

    async fn reach(&self, caller: &Caller, company: &str) -> Result<Stored<Company>> {
        belongs(caller, company)?;
        Ok(self.companies.get(company).await?)
    }

    /// Makes a key; its secret is in the answer and nowhere else. One that replaces another lets that work on for a while.
    pub async fn create(
        &self,
        caller: &Caller,
        company: &str,
        mode: Mode,
        wanted: WantedKey,
    ) -> Result<(Stored<ApiKey>, String)> {
        let modes = self.reach(caller, company).await?.body.modes;
        let WantedKey { name, scopes, expires_at, replaces, overlap } = wanted;
        let now = self.clock.now();
        if !modes.contains(&mode) {
            return Err(Error::Refused("mode_disabled", "the company has not enabled this mode"));
        }
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Error::field("expires_at", "timestamp.future", "must be in the future"));
        }
        let expires_at = self.bounded(company, expires_at, now).await?;
        let scope = Scope::new(company, mode);
        if self.store.count(&scope).await? >= MOST {
            return Err(Error::Refused("too_many_keys", "a company has at most 200 keys per mode"));
        }
        let old = match &replaces {
            Some(id) => Some(self.replaceable(&scope, id).await?),
            None => None,
        };
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
            replaces,
        };
        let id = kit::id::new("key");
        let stamp = Stamp { scope: &scope, subject: &id, sequence: 1, at: now };
        let after = json!({
            "name": key.name, "mode": mode.as_str(), "scopes": key.scopes, "replaces": key.replaces,
            "expires_at": key.expires_at.map(|at| at.to_string()),
        });
        let action = if old.is_some() { "api_key.rotate" } else { "api_key.create" };
        let events = stamp.audited(caller, "api_key", action, None, Some(&after));
        // The new one first: whoever rotates is never left without a key.
        let stored = self.store.insert(&scope, id, key, events.into_iter().collect()).await?;
        if let Some(old) = old {
            let overlap = match overlap {
                Some(overlap) => overlap,
                None => SignedDuration::from_hours(
                    self.settings.int(Some(company), keys::API_KEY_ROTATION_OVERLAP_HOURS).await?,
                ),
            };
            self.end(caller, &old, old.body.replaced(now, overlap), "api_key.replaced").await?;
        }
        Ok((stored, secret))
    }

    /// The end of a new key, where the company lets no key be good for ever: no later than it allows.
    async fn bounded(
        &self,
        company: &str,
        wanted: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>> {
        let days = self.settings.int(Some(company), keys::API_KEY_MAX_LIFETIME_DAYS).await?;
        let last = (days > 0).then(|| kit::time::add_days(now, days));
        match (wanted, last) {
            (Some(at), Some(last)) if at > last => {
                let text = format!("a key may be good for {days} days at most");
                Err(Error::field("expires_at", "api_key.lifetime", text))
            }
            (wanted, last) => Ok(wanted.or(last)),
        }
    }

    /// The key to be replaced: one of the same mode that works, which nothing has replaced yet.
    async fn replaceable(&self, scope: &Scope, id: &str) -> Result<Stored<ApiKey>> {
        let old = self.store.get(scope, id).await?;
        if !old.body.is_good(self.clock.now()) {
            return Err(Error::Refused("wrong_state", "the key to be replaced does not work any more"));
        }
        if self.store.successor(scope, id).await?.is_some() {
            return Err(Error::Refused("already_replaced", "another key has taken its place already"));
        }
        Ok(old)
    }

    async fn end(&self, caller: &Caller, read: &Stored<ApiKey>, ended: ApiKey, action: &str) -> Result<()> {
        let stamp =
            Stamp { scope: &read.scope, subject: &read.id, sequence: read.version + 1, at: self.clock.now() };
        let after = json!({
            "expires_at": ended.expires_at.map(|at| at.to_string()), "revoked": ended.revoked_at.is_some(),
        });
        let mut events = vec![stamp.access_changed(Access::Key(&read.id))];
        events.extend(stamp.audited(caller, "api_key", action, None, Some(&after)));
        self.store.end(read, &ended, events).await.map_err(Error::from)
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
        let ended = ApiKey { revoked_at: Some(self.clock.now()), ..read.body.clone() };
        self.end(caller, &read, ended, "api_key.revoke").await
    }

    /// The key behind a secret's hash, and its company's status. One refusal for everything that is wrong with it.
    pub async fn resolve(&self, hash: &str) -> Result<(Stored<ApiKey>, String)> {
        let now = self.clock.now();
        let mut key = self.store.by_hash(hash).await?.filter(|k| k.body.is_good(now)).ok_or(Error::Key)?;
        let company = self.companies.get(&key.scope.company).await?;
        if !company.body.status.admits() || !company.body.modes.contains(&key.scope.mode) {
            return Err(Error::Key);
        }
        if key.body.last_used_at.is_none_or(|at| now.as_second() - at.as_second() >= USE_STEP) {
            self.store.used(&key, now).await?;
        }
        if !company.body.product_upload_enabled {
            // The company's own switch goes before what a key was once given.
            key.body.scopes.retain(|scope| scope != "usage:write");
        }
        Ok((key, company.body.status.as_str().to_owned()))
    }
}
