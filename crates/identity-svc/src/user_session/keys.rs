//! The keys access tokens are signed with. One is active; the next one is published before it signs and the last one
//! after, so that whoever checks tokens always knows the key of those that are under way.

use std::sync::Arc;

use anyhow::Context as _;
use bson::doc;
use jiff::SignedDuration;
use kit::caller::SigningKey;
use kit::{PageRequest, Scope, SharedClock, Timestamp};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo, Sort, Stored};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Result};
use crate::secrets::{self, Sealed, Vault};

/// How long a key signs.
pub const SIGNS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long the next key is published before it signs: well over the 300 s that a key set may be cached.
pub const AHEAD: SignedDuration = SignedDuration::from_hours(1);
/// How long a key is published after it signed last: well over the life of a token and the skew of clocks.
pub const BEHIND: SignedDuration = SignedDuration::from_hours(1);
/// How often a replica looks for what another one has changed.
const RELOAD: std::time::Duration = std::time::Duration::from_secs(30);

/// A key as it is stored. Its seed opens at the place of its own id only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKey {
    public: String,
    seed: Sealed,
    /// `active` signs; `next` and `retired` are published only.
    state: String,
    /// Since when it is what it is.
    #[serde(default, with = "store::time::option")]
    since: Option<Timestamp>,
}

impl StoredKey {
    fn is(&self, state: &str) -> bool {
        self.state == state
    }

    fn moved(&self, state: &str, now: Timestamp) -> Self {
        Self { state: state.to_owned(), since: Some(now), ..self.clone() }
    }
}

impl Record for StoredKey {
    const COLLECTION: &'static str = "signing_keys";
    const NOUN: &'static str = "signing key";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.state"]).unique().partial(doc! { "body.state": "active" })]
    }
}

/// What this process signs with and publishes.
#[derive(Clone)]
struct Held {
    active: Arc<SigningKey>,
    jwks: Arc<str>,
}

/// The keys of the installation, as this process read them last.
#[derive(Clone)]
pub struct Keys {
    repo: Repo<StoredKey>,
    db: Database,
    vault: Vault,
    clock: SharedClock,
    held: Arc<watch::Sender<Option<Held>>>,
}

impl Keys {
    /// Reads the keys; makes the first one where there is none.
    pub async fn open(db: &Database, vault: &Vault, clock: SharedClock) -> anyhow::Result<Self> {
        let keys = Self {
            repo: Repo::open(db, clock.clone()).await?,
            db: db.clone(),
            vault: vault.clone(),
            clock,
            held: Arc::new(watch::Sender::new(None)),
        };
        if !keys.all().await?.iter().any(|k| k.body.is("active")) {
            keys.add(kit::id::new("sgk"), "active").await?;
        }
        keys.reload().await?;
        Ok(keys)
    }

    /// The key that signs.
    pub fn active(&self) -> Result<Arc<SigningKey>> {
        let held = self.held.borrow().as_ref().map(|h| h.active.clone());
        held.ok_or_else(|| kit::Fault::internal(anyhow::anyhow!("no signing key was read")).into())
    }

    /// The public halves as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Arc<str> {
        self.held.borrow().as_ref().map_or_else(|| jwks([].into_iter()).into(), |h| h.jwks.clone())
    }

    async fn all(&self) -> Result<Vec<Stored<StoredKey>>> {
        let page = PageRequest::new(50, "");
        Ok(self.repo.list(&Scope::platform(), doc! {}, Sort::Newest, &page).await?.items)
    }

    async fn add(&self, id: String, state: &str) -> anyhow::Result<()> {
        let seed = SigningKey::new_seed();
        let public = SigningKey::from_seed(&seed)?.public();
        let (state, since) = (state.to_owned(), Some(self.clock.now()));
        let key = StoredKey { public, seed: self.vault.seal(&id, &seed)?, state, since };
        match self.repo.insert(&Scope::platform(), id, key, Vec::new()).await {
            // Another replica was first.
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Reads what is stored.
    pub async fn reload(&self) -> anyhow::Result<()> {
        let all = self.all().await?;
        let found = all.iter().find(|k| k.body.is("active")).context("there is no active signing key")?;
        let seed = self.vault.open(&found.id, &found.body.seed).context("failed to open the signing key")?;
        let active = Arc::new(SigningKey::from_seed(&seed)?);
        let jwks = jwks(all.iter().map(|k| k.body.public.as_str())).into();
        self.held.send_replace(Some(Held { active, jwks }));
        Ok(())
    }

    /// Follows what other replicas change. A task of the service.
    pub async fn follow(self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(RELOAD)).await.is_some() {
            if let Err(e) = self.reload().await {
                tracing::warn!(error = %format!("{e:#}"), "the signing keys stay as they were read: {e:#}");
            }
        }
        Ok(())
    }

    /// One step of the rotation, if one is due: the job `signing_key_rotation`. A key signs for thirty days; the next one
    /// is published an hour before, the last one goes an hour after.
    pub async fn rotate(&self) -> anyhow::Result<()> {
        let (now, all) = (self.clock.now(), self.all().await?);
        let of = |state: &str| all.iter().find(|k| k.body.is(state));
        let aged = |k: &Stored<StoredKey>, by: SignedDuration| {
            k.body.since.unwrap_or(k.created_at).checked_add(by).is_ok_and(|end| end <= now)
        };
        let active = of("active").context("there is no active signing key")?;
        match of("next") {
            // Its id follows from that of the active one: of two replicas that make it at once, one does.
            None if aged(active, SIGNS - AHEAD) => {
                let digest = secrets::hash(&active.id);
                self.add(format!("sgk_{}", digest.get(..32).unwrap_or_default()), "next").await?;
            }
            Some(next) if aged(active, SIGNS) && aged(next, AHEAD) => self.promote(active, next, now).await?,
            _ => {}
        }
        for old in all.iter().filter(|k| k.body.is("retired") && aged(k, BEHIND)) {
            self.repo.remove(&old.scope, &old.id).await?;
            tracing::info!(key.id = old.id, "signing key {} is published no more", old.id);
        }
        self.reload().await
    }

    async fn promote(
        &self,
        active: &Stored<StoredKey>,
        next: &Stored<StoredKey>,
        now: Timestamp,
    ) -> anyhow::Result<()> {
        let (repo, active, next) = (self.repo.clone(), active.clone(), next.clone());
        let id = next.id.clone();
        let done: Result<()> = store::transaction(&self.db, async move |tx| {
            repo.replace_in(tx, &active, active.body.moved("retired", now), Vec::new()).await?;
            repo.replace_in(tx, &next, next.body.moved("active", now), Vec::new()).await?;
            Ok(())
        })
        .await;
        match done {
            Ok(()) => tracing::info!(key.id = id, "signing key {id} signs from now on"),
            // Another replica was first.
            Err(Error::Store(store::Error::Stale(_) | store::Error::Busy)) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }
}

fn jwks<'a>(publics: impl Iterator<Item = &'a str>) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let keys: Vec<_> = publics
        .filter_map(|x| {
            let raw = URL_SAFE_NO_PAD.decode(x).ok()?;
            let kid = kit::caller::thumbprint(&raw);
            Some(serde_json::json!({
                "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": kid,
            }))
        })
        .collect();
    serde_json::json!({ "keys": keys }).to_string()
}
