//! The room put together: the configured provider, the use cases, and what runs beside them.

use std::sync::Arc;

use anyhow::Context as _;
use kit::{ExposeSecret, SharedClock};
use mongodb::Database;
use tokio::sync::Notify;

use super::api::{Access, WorkOs};
use super::cursor::Cursor;
use super::inbox::Inbox;
use super::none::NoProvider;
use super::ops::{Parts, Sso};
use super::place::Places;
use super::provider::IdentityProvider;
use super::rpc::Rpc;
use super::store::SsoStore;
use super::sweep::Sweep;
use super::sync::Sync;
use super::work::Worker;
use crate::companies::CompanyStore;
use crate::config::Config;
use crate::db::Db;
use crate::secrets::Vault;
use crate::user_profiles::{People, PeopleStore};
use crate::user_session::Sessions;

/// What the room needs of the others.
pub(crate) struct Needs {
    pub companies: CompanyStore,
    pub people: People,
    pub people_store: PeopleStore,
    pub sessions: Sessions,
    pub vault: Vault,
    pub db: Db,
    pub clock: SharedClock,
}

/// The room.
#[derive(Clone)]
pub(crate) struct Room {
    sso: Sso,
    inbox: Inbox,
    worker: Worker,
    sweep: Sweep,
}

impl Room {
    pub(crate) async fn open(db: &Database, config: &Config, needs: Needs) -> anyhow::Result<Self> {
        let Needs { companies, people, people_store, sessions, vault, db: handle, clock } = needs;
        let provider = provider(config)?;
        let store = SsoStore::open(db, clock.clone()).await?;
        let places = Places {
            provider: provider.name(),
            store: store.clone(),
            people,
            people_store: people_store.clone(),
            companies: companies.clone(),
            sessions: sessions.clone(),
            db: handle.clone(),
            clock: clock.clone(),
        };
        let wake = Arc::new(Notify::new());
        let sync = Sync {
            store: store.clone(),
            provider: provider.clone(),
            places: places.clone(),
            people: people_store.clone(),
            sessions: sessions.clone(),
        };
        let worker = Worker { store: store.clone(), sync, clock: clock.clone(), wake: wake.clone() };
        let sweep = Sweep { store: store.clone(), provider: provider.clone() };
        let inbox = Inbox { store: store.clone(), provider: provider.clone(), clock: clock.clone(), wake };
        let sso = Sso::new(Parts {
            store,
            provider,
            companies,
            people: people_store,
            places,
            sessions,
            vault,
            db: handle,
            public_url: config.public_url.clone(),
            clock,
        });
        Ok(Self { sso, inbox, worker, sweep })
    }

    pub(crate) fn rpc(&self) -> Rpc {
        Rpc { sso: self.sso.clone(), inbox: self.inbox.clone() }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor(self.inbox.clone())
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker.clone()
    }

    pub(crate) fn sweep(&self) -> Sweep {
        self.sweep.clone()
    }
}

fn provider(config: &Config) -> anyhow::Result<Arc<dyn IdentityProvider>> {
    if config.identity_provider != "workos" {
        return Ok(Arc::new(NoProvider));
    }
    let missing = |name: &str| format!("RETENTION_IDENTITY_PROVIDER is workos and {name} is missing");
    let api_key = config.workos_api_key.clone().filter(|k| !k.expose_secret().is_empty());
    let client_id = config.workos_client_id.clone().filter(|id| !id.is_empty());
    let secrets = config.workos_webhook_secrets.iter().filter(|s| !s.expose_secret().is_empty());
    let settings =
        connect::http::Settings { private_networks: config.private_networks, ..Default::default() };
    let access = Access {
        base: config.workos_url.clone(),
        sign_in: config.workos_sign_in,
        client_id: client_id.with_context(|| missing("RETENTION_WORKOS_CLIENT_ID"))?,
        api_key: api_key.with_context(|| missing("RETENTION_WORKOS_API_KEY"))?,
        webhook_secrets: secrets.cloned().collect(),
        issuers: config.workos_issuers.iter().filter(|i| !i.is_empty()).cloned().collect(),
    };
    Ok(Arc::new(WorkOs::new(access, connect::http::Http::new(settings)?)))
}
