//! A company's single sign-on: shown, set, taken away; the way to the provider's pages.

use std::sync::Arc;

use kit::{Caller, Role, SharedClock};
use serde_json::{Value, json};
use store::Stored;

use super::model::{Change, Settings, is_local_path, wrong};
use super::place::Places;
use super::provider::{IdentityProvider, Intent, ProviderError, Wanted};
use super::store::{SsoStore, scope};
use crate::companies::{CompanyStore, belongs};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::secrets::Vault;
use crate::user_profiles::PeopleStore;
use crate::user_session::{SSO, Sessions};

/// What the use cases are made of.
#[derive(Clone)]
pub struct Parts {
    pub store: SsoStore,
    pub provider: Arc<dyn IdentityProvider>,
    pub companies: CompanyStore,
    pub people: PeopleStore,
    pub places: Places,
    pub sessions: Sessions,
    pub vault: Vault,
    pub db: Db,
    /// How browsers reach the gateway.
    pub public_url: String,
    pub clock: SharedClock,
}

/// The use cases of single sign-on.
#[derive(Clone)]
pub struct Sso(pub(super) Parts);

impl Sso {
    pub fn new(parts: Parts) -> Self {
        let public_url = parts.public_url.trim_end_matches('/').to_owned();
        Self(Parts { public_url, ..parts })
    }

    /// The name of the provider the installation has.
    pub fn provider(&self) -> &'static str {
        self.0.provider.name()
    }

    /// The settings; none where nothing was ever set up.
    pub async fn get(&self, caller: &Caller, company: &str) -> Result<Option<Stored<Settings>>> {
        belongs(caller, company)?;
        self.0.companies.get(company).await?;
        Ok(self.0.store.settings(company).await?)
    }

    pub async fn put(
        &self,
        caller: &Caller,
        company: &str,
        version: i64,
        change: Change,
    ) -> Result<Stored<Settings>> {
        let read = self.get(caller, company).await?;
        if read.as_ref().map_or(0, |r| r.version) != version {
            return Err(store::Error::Stale("single sign-on").into());
        }
        if change.domains_verified && caller.role != Role::KaleAdmin {
            return Err(Error::Forbidden);
        }
        let faults = wrong(&change);
        if !faults.is_empty() {
            return Err(Error::Wrong(faults));
        }
        let before = read.as_ref().map(|r| r.body.clone()).unwrap_or_default();
        let after = self.agreed(company, &before, &change).await?;
        if after.sso_required && !after.is_ready() {
            let text = "people could not sign in: the connection to your identity provider is not active";
            return Err(Error::Refused("sso_not_ready", text));
        }
        let stored = self.write(caller, company, read, &before, after, "sso.update").await?;
        if stored.body.sso_required {
            let count = self.0.sessions.revoke_by_method(company, SSO, true).await?;
            tracing::info!(company.id = company, count, "single sign-on is required: {count} sessions ended");
        }
        Ok(stored)
    }

    /// What the settings become when the provider has agreed.
    async fn agreed(&self, company: &str, before: &Settings, change: &Change) -> Result<Settings> {
        let name = self.0.companies.get(company).await?.body.name;
        let wanted = Wanted {
            company,
            name: &name,
            known: before.organization_id.as_deref(),
            domains: &before.domains_for(change),
        };
        let organization = self.0.provider.ensure_organization(&wanted).await?;
        let connection = self.0.provider.connection(&organization.id).await?;
        let directory_id = self.0.provider.directory(&organization.id).await?;
        Ok(Settings {
            connection,
            directory_id,
            role_mapping: change.role_mapping.clone(),
            sso_required: change.sso_required,
            ..before.seen(&organization)
        })
    }

    async fn write(
        &self,
        caller: &Caller,
        company: &str,
        read: Option<Stored<Settings>>,
        before: &Settings,
        after: Settings,
        action: &str,
    ) -> Result<Stored<Settings>> {
        let scope = scope(company);
        let sequence = read.as_ref().map_or(1, |r| r.version + 1);
        let stamp = Stamp { scope: &scope, subject: company, sequence, at: self.0.clock.now() };
        let (was, is) = (shown(before), shown(&after));
        let events: Vec<_> =
            stamp.audited(caller, "sso", action, Some(&was), Some(&is)).into_iter().collect();
        let told = self.0.companies.get(company).await?;
        let told = Stamp { sequence: told.version + 1, ..stamp }.company_changed("updated", &told.body);
        let (store, companies) = (self.0.store.clone(), self.0.companies.clone());
        let company = company.to_owned();
        store::transaction(self.0.db.handle(), async move |tx| {
            // The company knows, too: every sign-in looks at it anyway.
            companies.require_sso(tx, &company, after.sso_required, vec![told.clone()]).await?;
            let events = events.clone();
            Ok(store.put_settings_in(tx, &company, read.as_ref(), after.clone(), events).await?)
        })
        .await
    }

    /// Takes single sign-on away. Who came in that way is out; the people stay.
    pub async fn delete(&self, caller: &Caller, company: &str) -> Result<()> {
        let Some(read) = self.get(caller, company).await? else { return Ok(()) };
        let before = read.body.clone();
        if before != Settings::default() {
            self.write(caller, company, Some(read), &before, Settings::default(), "sso.delete").await?;
        }
        self.0.store.forget(company).await?;
        self.0.sessions.revoke_by_method(company, SSO, false).await?;
        Ok(())
    }

    /// The address of the provider's set-up pages for the caller's company.
    pub async fn portal_link(&self, caller: &Caller, intent: Intent, return_to: &str) -> Result<String> {
        let company = caller.scope()?.company.clone();
        let return_to = if return_to.is_empty() { "/" } else { return_to };
        if !is_local_path(return_to) {
            return Err(Error::field(
                "return_to",
                "path",
                "must be a path of the dashboard, such as /settings",
            ));
        }
        let read = self.get(caller, &company).await?;
        let organization = match read.as_ref().and_then(|r| r.body.organization_id.clone()) {
            Some(known) => known,
            None => {
                let before = read.as_ref().map(|r| r.body.clone()).unwrap_or_default();
                let after = self.agreed(&company, &before, &Change::default()).await?;
                let stored = self.write(caller, &company, read, &before, after, "sso.update").await?;
                stored.body.organization_id.ok_or(ProviderError::NotFound)?
            }
        };
        let back = format!("{}{return_to}", self.0.public_url);
        Ok(self.0.provider.portal_link(&organization, intent, &back).await?)
    }
}

/// What the audit trail keeps.
fn shown(s: &Settings) -> Value {
    let domains: Vec<_> =
        s.domains.iter().map(|d| json!({ "domain": d.domain, "verified": d.verified })).collect();
    let mapping = s.role_mapping.iter().map(|m| json!({ "group": m.group, "role": m.role.as_str() }));
    json!({
        "organization_id": s.organization_id,
        "connection_id": s.connection.as_ref().map(|c| &c.id),
        "domains": domains,
        "role_mapping": mapping.collect::<Vec<_>>(),
        "sso_required": s.sso_required,
    })
}
