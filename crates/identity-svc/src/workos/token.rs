//! The access token WorkOS hands out at sign-in. It is read once, for the session it names, and then forgotten; it opens
//! nothing here.

use std::collections::HashMap;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kit::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::provider::{ProviderError, Result};

/// How long a set of keys serves, and how soon another is asked for because of an unknown key.
const KEPT_SECONDS: i64 = 600;
const FLOOR_SECONDS: i64 = 60;
/// How far clocks may differ.
const SKEW_SECONDS: i64 = 60;

#[derive(Deserialize)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    #[serde(default)]
    kid: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

/// What a token says.
#[derive(Debug, Deserialize)]
pub struct Claims {
    pub sub: String,
    pub exp: i64,
    #[serde(default)]
    pub sid: Option<String>,
    #[serde(default)]
    pub org_id: Option<String>,
    #[serde(default)]
    pub act: Option<serde_json::Value>,
}

/// The provider's keys, as last fetched.
#[derive(Default)]
pub struct Keys(Mutex<(HashMap<String, DecodingKey>, Option<i64>)>);

impl Keys {
    /// Checks a token; `fetch` gets the keys when they are old or do not have the one that is named. The issuer must be
    /// one of `issuers`, to the letter.
    pub async fn check<F>(&self, token: &str, issuers: &[String], now: Timestamp, fetch: F) -> Result<Claims>
    where
        F: AsyncFnOnce() -> Result<KeySet>,
    {
        let unreadable = |why: &str| ProviderError::Unreadable(format!("the access token {why}"));
        let header = jsonwebtoken::decode_header(token).map_err(|_| unreadable("is none"))?;
        let kid = header.kid.filter(|k| k.len() <= 200).ok_or_else(|| unreadable("names no key"))?;
        let now = now.as_second();
        let key = {
            let mut kept = self.0.lock().await;
            let age = kept.1.map_or(i64::MAX, |at| now.saturating_sub(at));
            if age > KEPT_SECONDS || (!kept.0.contains_key(&kid) && age > FLOOR_SECONDS) {
                let read = |k: Key| Some((k.kid, DecodingKey::from_rsa_components(&k.n, &k.e).ok()?));
                *kept = (fetch().await?.keys.into_iter().filter_map(read).collect(), Some(now));
            }
            kept.0.get(&kid).cloned().ok_or_else(|| unreadable("names an unknown key"))?
        };
        let mut rules = Validation::new(Algorithm::RS256);
        rules.set_issuer(issuers);
        rules.set_required_spec_claims(&["exp", "iss", "sub"]);
        rules.validate_aud = false;
        // Our own clock decides; tests move it.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules)
            .map_err(|e| unreadable(&format!("is not valid: {e}")))?
            .claims;
        if claims.exp <= now - SKEW_SECONDS { Err(unreadable("is too old")) } else { Ok(claims) }
    }
}
