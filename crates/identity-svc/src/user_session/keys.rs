//! The keys access tokens are signed with. Several may be known, one is active: the others are published so that
//! tokens signed before, or soon, are accepted.

use std::sync::Arc;

use anyhow::Context as _;
use bson::doc;
use kit::caller::SigningKey;
use kit::{PageRequest, Scope, SharedClock};
use mongodb::Database;
use serde::{Deserialize, Serialize};
use store::{Index, Record, Repo, Sort};

use crate::secrets::{Sealed, Vault};

/// A key as it is stored. Its seed opens at the place of its own id only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredKey {
    public: String,
    seed: Sealed,
    /// `active` signs; `next` and `retired` are published only.
    state: String,
}

impl Record for StoredKey {
    const COLLECTION: &'static str = "signing_keys";
    const NOUN: &'static str = "signing key";

    fn indexes() -> Vec<Index> {
        vec![Index::on(&["body.state"]).unique().partial(doc! { "body.state": "active" })]
    }
}

/// The keys of the installation, read at start.
#[derive(Clone)]
pub struct Keys {
    active: Arc<SigningKey>,
    jwks: Arc<str>,
}

impl Keys {
    /// Reads the keys; makes the first one where there is none.
    pub async fn open(db: &Database, vault: &Vault, clock: SharedClock) -> anyhow::Result<Self> {
        let repo: Repo<StoredKey> = Repo::open(db, clock).await?;
        let scope = Scope::platform();
        let active = doc! { "body.state": "active" };
        if repo.find(&scope, active.clone()).await?.is_none() {
            let seed = SigningKey::new_seed();
            let id = kit::id::new("sgk");
            let public = SigningKey::from_seed(&seed)?.public();
            let key = StoredKey { public, seed: vault.seal(&id, &seed)?, state: String::from("active") };
            match repo.insert(&scope, id, key, Vec::new()).await {
                // Another replica was first.
                Ok(_) | Err(store::Error::Duplicate(_)) => {}
                Err(e) => return Err(e.into()),
            }
        }
        let found = repo.find(&scope, active).await?.context("there is no active signing key")?;
        let seed = vault.open(&found.id, &found.body.seed).context("failed to open the signing key")?;
        let all = repo.list(&scope, doc! {}, Sort::Newest, &PageRequest::new(50, "")).await?;
        let published = all.items.iter().map(|k| k.body.public.as_str());
        Ok(Self { active: Arc::new(SigningKey::from_seed(&seed)?), jwks: jwks(published).into() })
    }

    /// The key that signs.
    pub fn active(&self) -> &SigningKey {
        &self.active
    }

    /// The public halves as a JSON Web Key Set (RFC 7517).
    pub fn jwks(&self) -> Arc<str> {
        self.jwks.clone()
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
