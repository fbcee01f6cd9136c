//! An invitation and its states: `created → sent → accepted* | declined* | expired* | revoked*`.

use kit::{Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::user_profiles::Permissions;

/// How long a token works, and how often an invitation may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub lifetime_days: i64,
    pub most_resends: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Created,
    Sent,
    Accepted,
    Declined,
    Expired,
    Revoked,
    Undeliverable,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Undeliverable => "undeliverable",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub email: String,
    pub email_key: String,
    pub role: Role,
    pub permissions: Permissions,
    pub state: State,
    /// Waits for an answer: one open invitation per address and company.
    pub open: bool,
    pub invited_by: String,
    pub inviter_name: String,
    pub company_name: String,
    pub note: String,
    pub locale: String,
    pub token_hash: String,
    #[serde(with = "store::time")]
    pub expires_at: Timestamp,
    pub sent_count: u32,
    pub user_id: Option<String>,
}

impl Invitation {
    /// The state as it is now: one that nobody answered in time is expired, whether or not a job has said so.
    pub fn state_at(&self, now: Timestamp) -> State {
        if self.open && self.expires_at <= now { State::Expired } else { self.state }
    }

    /// Whether the token still works.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.open && self.expires_at > now
    }

    /// Ended by an answer, or taken back.
    pub fn ended(&self, state: State, user_id: Option<String>) -> Self {
        Self { state, open: false, user_id, ..self.clone() }
    }

    /// Sent once more under a new token; none when it was answered or sent too often.
    pub fn resent(&self, token_hash: String, terms: Terms, now: Timestamp) -> Option<Self> {
        (self.open && i64::from(self.sent_count) <= terms.most_resends).then(|| Self {
            token_hash,
            state: State::Sent,
            expires_at: kit::time::add_days(now, terms.lifetime_days),
            sent_count: self.sent_count + 1,
            ..self.clone()
        })
    }
}
