//! What is done with connections.

use std::sync::Arc;
use std::time::Duration;

use kit::{Caller, ExposeSecret, Mode, Outgoing, Scope, SecretString, SharedClock, Timestamp};
use moka::future::Cache;
use serde_json::json;
use store::Stored;

use super::model::{Connection, Status, Sync, Watch};
use super::store::ConnectionStore;
use crate::error::{Error, Result};
use crate::events::Stamp;
use crate::providers::recurly::Region;
use crate::providers::{self, Catalog, Provider, ProviderError, ProviderKind};
use crate::secrets::Vault;

/// Makes the adapter of a connection.
pub type Opener = Arc<
    dyn Fn(&providers::Connection) -> std::result::Result<Arc<dyn Provider>, ProviderError>
        + Send
        + std::marker::Sync,
>;

/// The use cases of connections.
#[derive(Clone)]
pub struct Connections {
    store: ConnectionStore,
    vault: Vault,
    opener: Opener,
    addresses: Addresses,
    clock: SharedClock,
    /// Opened adapters, and that there is none: intake and claims must not read and unseal each time.
    open: Cache<(Scope, ProviderKind), Option<Arc<dyn Provider>>>,
}

/// How often a note is tried again that somebody else came before.
const TRIES: usize = 8;

/// How long another replica's change of a connection may go unseen.
const KEPT: Duration = Duration::from_secs(20);

/// Other addresses than the providers' own, for fakes.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    pub stripe: Option<String>,
    pub recurly: Option<String>,
    pub chargebee: Option<String>,
}

impl Addresses {
    fn of(&self, c: &Connection) -> Option<String> {
        match c.provider {
            ProviderKind::Stripe => self.stripe.clone(),
            ProviderKind::Chargebee => self.chargebee.clone(),
            ProviderKind::Recurly => Some(self.recurly.clone().unwrap_or_else(|| c.region.base().to_owned())),
            ProviderKind::Simulated => None,
        }
    }
}

/// The keys of a connection, as they are given.
pub struct Keys {
    pub provider: ProviderKind,
    pub secret: Option<SecretString>,
    pub webhook_secret: Option<SecretString>,
    pub account_name: Option<String>,
    /// Recurly's; what is there stays where none is given.
    pub region: Option<Region>,
    /// Chargebee's; what is there stays where none is given.
    pub site: Option<String>,
}

impl Connections {
    pub fn new(
        store: ConnectionStore,
        vault: Vault,
        opener: Opener,
        addresses: Addresses,
        clock: SharedClock,
    ) -> Self {
        let open = Cache::builder().max_capacity(10_000).time_to_live(KEPT).build();
        Self { store, vault, opener, addresses, clock, open }
    }

    /// The time, as connections count it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn list(&self, caller: &Caller) -> Result<Vec<Stored<Connection>>> {
        Ok(self.store.all(caller.scope()?).await?)
    }

    pub async fn get(&self, scope: &Scope, provider: ProviderKind) -> Result<Stored<Connection>> {
        let found = self.store.of(scope, provider).await?;
        found.ok_or_else(|| kit::Fault::not_found("connection").into())
    }

    /// The adapter of a company's connection.
    pub async fn provider(&self, scope: &Scope, kind: ProviderKind) -> Result<Arc<dyn Provider>> {
        let key = (scope.clone(), kind);
        if let Some(open) = self.open.get(&key).await {
            return open.ok_or(Error::NotConnected);
        }
        let found = self.store.of(scope, kind).await?.filter(|c| c.body.status.is_usable());
        let opened = match found {
            None => None,
            Some(c) => Some(self.open_with(scope, &c.body)?),
        };
        self.open.insert(key, opened.clone()).await;
        opened.ok_or(Error::NotConnected)
    }

    /// Every usable connection with its adapter.
    pub async fn connected(&self, scope: &Scope) -> Result<Vec<(ProviderKind, Arc<dyn Provider>)>> {
        let mut all = Vec::new();
        for c in self.store.all(scope).await?.into_iter().filter(|c| c.body.status.is_usable()) {
            all.push((c.body.provider, self.provider(scope, c.body.provider).await?));
        }
        Ok(all)
    }

    fn open_with(&self, scope: &Scope, c: &Connection) -> Result<Arc<dyn Provider>> {
        let secrets =
            c.webhook_secrets.iter().map(|s| self.vault.open(&place(scope, c.provider, "webhook"), s));
        let key =
            c.secret.as_ref().map(|s| self.vault.open(&place(scope, c.provider, "key"), s)).transpose()?;
        let connection = providers::Connection {
            kind: c.provider,
            scope: scope.clone(),
            base_url: self.addresses.of(c),
            key,
            account: None,
            site: c.site.clone(),
            webhook_secrets: secrets.collect::<std::result::Result<_, _>>()?,
        };
        Ok((self.opener)(&connection)?)
    }

    /// Connects, or replaces keys. What is given is tried at the provider before it is stored; what is left out stays.
    pub async fn put(&self, caller: &Caller, keys: Keys) -> Result<Stored<Connection>> {
        let scope = caller.scope()?;
        let kind = keys.provider;
        let known = self.store.of(scope, kind).await?;
        let mut next = known.as_ref().map_or_else(|| Connection::new(kind), |k| k.body.clone());
        if let Some(secret) = &keys.secret {
            next.secret = Some(self.vault.seal(&place(scope, kind, "key"), secret)?);
        }
        if let Some(secret) = &keys.webhook_secret {
            let sealed = self.vault.seal(&place(scope, kind, "webhook"), secret)?;
            // The provider may sign with the one before for another day.
            next.webhook_secrets.retain(|s| s.fingerprint != sealed.fingerprint);
            next.webhook_secrets.insert(0, sealed);
            next.webhook_secrets.truncate(2);
        }
        if kind != ProviderKind::Simulated && next.secret.is_none() {
            return Err(Error::field("secret", "required", "this provider needs an API key"));
        }
        if let Some(region) = keys.region {
            if kind != ProviderKind::Recurly {
                return Err(Error::field("region", "not_for_provider", "only Recurly has regions"));
            }
            next.region = region;
        }
        if let Some(site) = keys.site {
            if kind != ProviderKind::Chargebee {
                return Err(Error::field("site", "not_for_provider", "only Chargebee has sites"));
            }
            next.site = Some(site);
        }
        if kind == ProviderKind::Chargebee {
            is_chargebee_s(&next, keys.webhook_secret.as_ref())?;
        }
        next.status = Status::Connecting;
        let account = self.open_with(scope, &next)?.test().await?;
        let live = scope.mode == Mode::Live;
        if account.live.is_some_and(|l| l != live) {
            let text = format!("this key is not for {} mode", scope.mode.as_str());
            return Err(Error::field("secret", "other_mode", text));
        }
        next.status = Status::Connected;
        next.account_id = account.id;
        next.account_name = keys.account_name.filter(|n| !n.is_empty()).unwrap_or(account.name);
        next.last_error = String::new();
        next.warning = String::new();
        let stored = match known {
            None => {
                let id = kit::id::new("con");
                let events = self.events(caller, scope, (&id, 1), None, &next, "connection.put");
                self.store.insert(scope, id, next, events).await?
            }
            Some(read) => self.save(caller, &read, next, "connection.put").await?,
        };
        self.forget(scope, kind).await;
        Ok(stored)
    }

    /// Forgets the keys.
    pub async fn remove(&self, caller: &Caller, kind: ProviderKind) -> Result<Stored<Connection>> {
        let scope = caller.scope()?;
        let read = self.get(scope, kind).await?;
        let next = read.body.disconnected();
        let stored = if next == read.body {
            read
        } else {
            self.save(caller, &read, next, "connection.delete").await?
        };
        self.forget(scope, kind).await;
        Ok(stored)
    }

    /// Tries the stored keys at the provider and notes what came of it.
    pub async fn test(&self, caller: &Caller, kind: ProviderKind) -> Result<Stored<Connection>> {
        let scope = caller.scope()?;
        let read = self.get(scope, kind).await?;
        if read.body.status == Status::Disconnected {
            return Err(Error::NotConnected);
        }
        let outcome = self.open_with(scope, &read.body)?.test().await;
        let next = noted(&read.body, outcome.as_ref().map(|_| ()));
        let stored =
            if next == read.body { read } else { self.save(caller, &read, next, "connection.test").await? };
        self.forget(scope, kind).await;
        outcome?;
        Ok(stored)
    }

    /// Starts a sync; one that is running goes on as it is.
    pub async fn start_sync(
        &self,
        caller: &Caller,
        kind: ProviderKind,
        since: Option<Timestamp>,
    ) -> Result<Stored<Connection>> {
        let scope = caller.scope()?;
        let read = self.get(scope, kind).await?;
        if !read.body.status.is_usable() {
            return Err(Error::NotConnected);
        }
        if read.body.is_syncing() {
            return Ok(read);
        }
        let cursor = read.body.changes_from.clone().filter(|_| since.is_some()).unwrap_or_default();
        let sync = Sync::start(cursor, since, self.clock.now());
        // Nothing to compare with before everything was read once.
        let sync = if read.body.last_sync_at.is_some() { sync.comparing() } else { sync };
        let next = Connection { sync: Some(sync), ..read.body.clone() };
        self.save(caller, &read, next, "connection.sync").await
    }

    /// Starts the syncs that are due by themselves.
    pub(super) async fn start_due(&self) -> Result<()> {
        let now = self.clock.now();
        for read in self.store.resting(now).await? {
            let Some(sync) = read.body.due_sync(now) else { continue };
            match self.note(&read, Connection { sync: Some(sync), ..read.body.clone() }).await {
                // Another replica started it, or somebody changed the keys.
                Ok(_) | Err(Error::Store(store::Error::Stale(_))) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Those whose provider is to be asked what never arrived.
    pub async fn to_watch(&self) -> Result<Vec<Stored<Connection>>> {
        Ok(self.store.to_watch(self.clock.now()).await?)
    }

    /// Notes a look for what never arrived.
    pub async fn watched(
        &self,
        scope: &Scope,
        kind: ProviderKind,
        looked: impl Fn(&Watch) -> Watch,
    ) -> Result<()> {
        self.noting(scope, kind, |c| Connection { watch: looked(&c.watch), ..c.clone() }).await
    }

    /// Notes what works and should be looked at.
    pub async fn warned(&self, scope: &Scope, kind: ProviderKind, warning: &str) -> Result<()> {
        self.noting(scope, kind, |c| Connection { warning: warning.to_owned(), ..c.clone() }).await
    }

    /// Notes something whatever else is noted meanwhile.
    async fn noting(
        &self,
        scope: &Scope,
        kind: ProviderKind,
        next: impl Fn(&Connection) -> Connection,
    ) -> Result<()> {
        for _ in 0..TRIES {
            let Some(read) = self.store.of(scope, kind).await? else { return Ok(()) };
            let next = next(&read.body);
            if next == read.body {
                return Ok(());
            }
            match self.note(&read, next).await {
                Err(Error::Store(store::Error::Stale(_))) => {}
                other => return other.map(|_| ()),
            }
        }
        Err(Error::Busy)
    }

    /// Those whose sync is to go on.
    pub(super) async fn syncing(&self) -> Result<Vec<Stored<Connection>>> {
        Ok(self.store.syncing(self.clock.now()).await?)
    }

    /// Writes down how far a sync is.
    pub(super) async fn note(
        &self,
        read: &Stored<Connection>,
        next: Connection,
    ) -> Result<Stored<Connection>> {
        let caller = Caller::internal("billing-svc", Some(read.scope.clone()));
        self.save(&caller, read, next, "connection.sync").await
    }

    /// Notes how a call at the provider went, where that changes the connection's state.
    pub async fn noticed(
        &self,
        scope: &Scope,
        kind: ProviderKind,
        outcome: std::result::Result<(), &ProviderError>,
    ) -> Result<()> {
        let Some(read) = self.store.of(scope, kind).await? else { return Ok(()) };
        let next = noted(&read.body, outcome);
        if next.status == read.body.status {
            return Ok(());
        }
        match self.note(&read, next).await {
            // Somebody else noted something newer.
            Ok(_) | Err(Error::Store(store::Error::Stale(_))) => Ok(()),
            Err(other) => Err(other),
        }
    }

    pub async fn catalog(&self, scope: &Scope, kind: ProviderKind) -> Result<Catalog> {
        Ok(self.provider(scope, kind).await?.catalog().await?)
    }

    async fn save(
        &self,
        caller: &Caller,
        read: &Stored<Connection>,
        next: Connection,
        action: &str,
    ) -> Result<Stored<Connection>> {
        let subject = (read.id.as_str(), read.version + 1);
        let events = self.events(caller, &read.scope, subject, Some(&read.body), &next, action);
        Ok(self.store.replace(read, next, events).await?)
    }

    fn events(
        &self,
        caller: &Caller,
        scope: &Scope,
        (id, sequence): (&str, i64),
        before: Option<&Connection>,
        next: &Connection,
        action: &str,
    ) -> Vec<Outgoing> {
        let stamp = Stamp { scope, subject: id, sequence, at: self.clock.now() };
        let first_sync = |b: &Connection| b.last_sync_at.is_none() && next.last_sync_at.is_some();
        let changed = before.is_none_or(|b| b.status != next.status || first_sync(b));
        let summary = |c: &Connection| {
            json!({
                "provider": c.provider.as_str(),
                "status": c.status.as_str(),
                "account_id": c.account_id,
                "secret_fingerprint": c.secret.as_ref().map(|s| &s.fingerprint),
            })
        };
        let before = before.map(summary);
        let audit = stamp.audited(caller, "connection", action, before.as_ref(), Some(&summary(next)));
        changed.then(|| stamp.connection_changed(next)).into_iter().chain(audit).collect()
    }

    async fn forget(&self, scope: &Scope, kind: ProviderKind) {
        self.open.invalidate(&(scope.clone(), kind)).await;
    }
}

fn noted(c: &Connection, outcome: std::result::Result<(), &ProviderError>) -> Connection {
    let last_error = outcome.err().map_or_else(String::new, |e| format!("{}: {e}", e.slug()));
    Connection { status: c.status.after(outcome), last_error, ..c.clone() }
}

/// The site becomes a host name, so that nothing else may be in it; webhooks come with a user name and a password.
fn is_chargebee_s(c: &Connection, webhook_secret: Option<&SecretString>) -> Result<()> {
    match c.site.as_deref() {
        None => return Err(Error::field("site", "required", "Chargebee needs the name of the site")),
        Some(site) if !providers::chargebee::is_site(site) => {
            let text =
                "a site is named in small letters, digits and hyphens, without the rest of its address";
            return Err(Error::field("site", "invalid", text));
        }
        Some(_) => {}
    }
    let is_pair =
        |s: &SecretString| s.expose_secret().split_once(':').is_some_and(|(user, _)| !user.is_empty());
    if webhook_secret.is_some_and(|s| !is_pair(s)) {
        return Err(Error::field(
            "webhook_secret",
            "invalid",
            "Chargebee's webhooks come with user:password",
        ));
    }
    Ok(())
}

/// What a sealed secret is bound to.
pub(super) fn place(scope: &Scope, kind: ProviderKind, what: &str) -> String {
    format!("{}/{}/{}/{what}", scope.company, scope.mode.as_str(), kind.as_str())
}
