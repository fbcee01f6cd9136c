//! A session and its states: `active → logged_out* | idle_expired* | expired* | revoked*`.

use std::time::Duration;

use kit::{Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::secrets::Sealed;

/// The method of sessions an identity provider vouches for.
pub const SSO: &str = "sso";
/// How long an access token is good for.
pub const ACCESS: Duration = Duration::from_secs(10 * 60);
/// Two tabs may refresh at once: within this long the same successor is given again.
pub const GRACE_SECONDS: i64 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Active,
    LoggedOut,
    IdleExpired,
    Expired,
    Revoked,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::LoggedOut => "logged_out",
            Self::IdleExpired => "idle_expired",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub user_id: String,
    /// None for an operator who has named no company.
    pub company_id: Option<String>,
    pub role: Role,
    pub state: State,
    /// How the person proved who they are: `otp`, `sso`.
    pub method: String,
    /// Personal.
    pub address: Option<String>,
    /// What the browser says it is. Personal.
    #[serde(default)]
    pub device: Option<String>,
    /// The hash of the refresh token that works.
    pub current: String,
    /// The hash of the one before, and its successor, sealed under it.
    pub previous: Option<String>,
    pub successor: Option<Sealed>,
    /// The hashes of all that were used; one of them coming again is theft.
    pub used: Vec<String>,
    #[serde(with = "store::time")]
    pub rotated_at: Timestamp,
    #[serde(with = "store::time")]
    pub signed_in_at: Timestamp,
    #[serde(with = "store::time")]
    pub idle_until: Timestamp,
    #[serde(with = "store::time")]
    pub ends_at: Timestamp,
}

/// What a presented refresh token is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presented {
    /// The one that works.
    Current,
    /// The one before, just now: another tab.
    JustUsed,
    /// An old one: theft, or a copy.
    Reused,
}

impl Session {
    /// The state as it is now, whether or not anybody has written it down.
    pub fn state_at(&self, now: Timestamp) -> State {
        match self.state {
            State::Active if self.ends_at <= now => State::Expired,
            State::Active if self.idle_until <= now => State::IdleExpired,
            other => other,
        }
    }

    pub fn presented(&self, hash: &str, now: Timestamp) -> Presented {
        if self.current == hash {
            return Presented::Current;
        }
        let age = now.as_second() - self.rotated_at.as_second();
        if self.previous.as_deref() == Some(hash) && age <= GRACE_SECONDS {
            Presented::JustUsed
        } else {
            Presented::Reused
        }
    }
}

/// How a person came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// `otp`, or that of an identity provider.
    pub method: String,
    pub address: Option<String>,
    pub device: Option<String>,
    pub at: Timestamp,
}

/// When a session that may idle for so many hours idles out, seen from now.
pub fn idle_until(now: Timestamp, ends_at: Timestamp, hours: i64) -> Timestamp {
    now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap_or(ends_at).min(ends_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let ends_at = kit::time::add_days(at, 14);
        Session {
            user_id: "usr_1".into(),
            company_id: None,
            role: Role::KaleAdmin,
            state: State::Active,
            method: "otp".into(),
            address: None,
            device: None,
            current: "new".into(),
            previous: Some("old".into()),
            successor: None,
            used: vec!["older".into(), "old".into()],
            rotated_at: at,
            signed_in_at: at,
            idle_until: idle_until(at, ends_at, 12),
            ends_at,
        }
    }

    #[test]
    fn the_token_before_is_good_for_ten_seconds() {
        let s = session();
        let at = |seconds: i64| Timestamp::from_second(1_700_000_000 + seconds).unwrap();
        assert_eq!(s.presented("new", at(9_999)), Presented::Current);
        assert_eq!(s.presented("old", at(10)), Presented::JustUsed);
        assert_eq!(s.presented("old", at(11)), Presented::Reused);
        assert_eq!(s.presented("older", at(1)), Presented::Reused);
    }

    #[test]
    fn a_session_idles_out_and_ends() {
        let s = session();
        let at = |hours: i64| Timestamp::from_second(1_700_000_000 + hours * 3600).unwrap();
        assert_eq!(s.state_at(at(11)), State::Active);
        assert_eq!(s.state_at(at(12)), State::IdleExpired);
        assert_eq!(s.state_at(at(14 * 24)), State::Expired);
        assert_eq!(Session { state: State::Revoked, ..s }.state_at(at(0)), State::Revoked);
    }
}
