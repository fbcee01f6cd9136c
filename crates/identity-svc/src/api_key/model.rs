//! An API key. Its secret is known to the company only; we keep the hash.

use jiff::SignedDuration;
use kit::{Mode, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub name: String,
    /// SHA-256 of the secret, hex.
    pub hash: String,
    /// How the secret begins and ends.
    pub hint: String,
    pub scopes: Vec<String>,
    pub created_by: String,
    #[serde(default, with = "store::time::option")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub last_used_at: Option<Timestamp>,
    #[serde(default, with = "store::time::option")]
    pub revoked_at: Option<Timestamp>,
    /// The key this one takes the place of.
    #[serde(default)]
    pub replaces: Option<String>,
}

impl ApiKey {
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|at| at > now)
    }

    /// The key as it is once another has taken its place: it ends after the overlap, or sooner if it was to.
    pub fn replaced(&self, now: Timestamp, overlap: SignedDuration) -> Self {
        let end = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        Self { expires_at: Some(self.expires_at.map_or(end, |at| at.min(end))), ..self.clone() }
    }
}

/// What a secret of this mode begins with.
pub fn prefix(mode: Mode) -> &'static str {
    match mode {
        Mode::Live => "rsk_live_",
        Mode::Test => "rsk_test_",
    }
}

/// `rsk_live_…4f2a`.
pub fn hint(mode: Mode, secret: &str) -> String {
    let end = secret.len().saturating_sub(4);
    format!("{}…{}", prefix(mode), secret.get(end..).unwrap_or_default())
}
