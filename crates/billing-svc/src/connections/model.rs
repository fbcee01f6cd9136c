//! A connection, its states, and the sync it carries.

use kit::Timestamp;
use serde::{Deserialize, Serialize};

use crate::providers::recurly::Region;
use crate::providers::{ProviderError, ProviderKind};
use crate::secrets::Sealed;

/// §6: `disconnected → connecting → connected ⇄ degraded → revoked`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Disconnected,
    Connecting,
    Connected,
    Degraded,
    Revoked,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Degraded => "degraded",
            Self::Revoked => "revoked",
        }
    }

    /// Whether the provider may be called.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Connecting | Self::Connected | Self::Degraded)
    }

    /// What an attempt at the provider makes of it.
    pub fn after(self, outcome: Result<(), &ProviderError>) -> Self {
        match outcome {
            Ok(()) => Self::Connected,
            Err(ProviderError::Revoked) => Self::Revoked,
            Err(e) if e.is_passing() && self.is_usable() => Self::Degraded,
            Err(_) => self,
        }
    }
}

/// How far a sync is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    pub state: SyncState,
    pub customers: u64,
    pub subscriptions: u64,
    pub rejected: u64,
    pub pages: u64,
    #[serde(with = "store::time")]
    pub started_at: Timestamp,
    #[serde(with = "store::time::option", default)]
    pub ended_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub since: Option<Timestamp>,
    pub error: String,
    /// Where the next page begins.
    pub cursor: String,
    /// When it may be tried again after an error.
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
    pub failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncState {
    Running,
    Done,
    Failed,
}

impl SyncState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// After how many errors in a row a sync gives up.
const PATIENCE: u32 = 8;

impl Sync {
    pub fn start(cursor: String, since: Option<Timestamp>, now: Timestamp) -> Self {
        Self {
            state: SyncState::Running,
            customers: 0,
            subscriptions: 0,
            rejected: 0,
            pages: 0,
            started_at: now,
            ended_at: None,
            since,
            error: String::new(),
            cursor,
            due_at: now,
            failures: 0,
        }
    }

    /// After one more page.
    pub fn page(&self, read: PageRead, next: String, done: bool, now: Timestamp) -> Self {
        Self {
            state: if done { SyncState::Done } else { SyncState::Running },
            customers: self.customers + read.customers,
            subscriptions: self.subscriptions + read.subscriptions,
            rejected: self.rejected + read.rejected,
            pages: self.pages + 1,
            ended_at: done.then_some(now),
            error: String::new(),
            cursor: next,
            failures: 0,
            ..self.clone()
        }
    }

    /// After an error: tried again later from the same page, or given up.
    pub fn stumbled(&self, error: String, passing: bool, now: Timestamp) -> Self {
        let failures = self.failures + 1;
        let over = !passing || failures >= PATIENCE;
        let wait = jiff::SignedDuration::from_secs(2_i64.pow(failures.min(8)));
        Self {
            state: if over { SyncState::Failed } else { SyncState::Running },
            ended_at: over.then_some(now),
            error,
            failures,
            due_at: now.checked_add(wait).unwrap_or(now),
            ..self.clone()
        }
    }
}

/// What one page held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRead {
    pub customers: u64,
    pub subscriptions: u64,
    pub rejected: u64,
}

/// A company's connection to one provider in one mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub provider: ProviderKind,
    pub status: Status,
    pub account_name: String,
    pub account_id: String,
    /// Recurly's.
    #[serde(default)]
    pub region: Region,
    pub secret: Option<Sealed>,
    /// The newest first; the one before stays good while the provider still signs with it.
    pub webhook_secrets: Vec<Sealed>,
    pub rights: Vec<String>,
    #[serde(with = "store::time::option", default)]
    pub last_sync_at: Option<Timestamp>,
    pub last_error: String,
    pub sync: Option<Sync>,
    /// Where a sync of changes only begins: the end of the last finished one.
    pub changes_from: Option<String>,
}

impl Connection {
    pub fn new(provider: ProviderKind) -> Self {
        Self {
            provider,
            status: Status::Connecting,
            account_name: String::new(),
            account_id: String::new(),
            region: Region::default(),
            secret: None,
            webhook_secrets: Vec::new(),
            rights: Vec::new(),
            last_sync_at: None,
            last_error: String::new(),
            sync: None,
            changes_from: None,
        }
    }

    /// Without keys: nothing can be called any more.
    pub fn disconnected(&self) -> Self {
        Self {
            status: Status::Disconnected,
            secret: None,
            webhook_secrets: Vec::new(),
            rights: Vec::new(),
            last_error: String::new(),
            sync: self.sync.clone().filter(|s| s.state != SyncState::Running),
            ..self.clone()
        }
    }

    pub fn is_syncing(&self) -> bool {
        self.sync.as_ref().is_some_and(|s| s.state == SyncState::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_sync_goes_on_where_it_stumbled_and_gives_up_in_the_end() {
        let page = PageRead { customers: 2, subscriptions: 3, rejected: 1 };
        let one = Sync::start(String::new(), None, at(0)).page(page, "c1".into(), false, at(1));
        let mut s = one.clone();
        for n in 1..8 {
            s = s.stumbled("down".into(), true, at(n));
            assert_eq!((s.state, s.cursor.as_str()), (SyncState::Running, "c1"));
            assert!(s.due_at > at(n));
        }
        assert_eq!(s.stumbled("down".into(), true, at(9)).state, SyncState::Failed);
        assert_eq!(one.stumbled("no".into(), false, at(2)).state, SyncState::Failed);
        let done = s.page(page, "c2".into(), true, at(10));
        assert_eq!((done.state, done.customers, done.pages, done.failures), (SyncState::Done, 4, 2, 0));
    }

    #[test]
    fn only_the_provider_s_own_word_revokes() {
        let down = ProviderError::Unavailable(anyhow::anyhow!("down"));
        assert_eq!(Status::Connected.after(Err(&down)), Status::Degraded);
        assert_eq!(Status::Degraded.after(Ok(())), Status::Connected);
        assert_eq!(Status::Connected.after(Err(&ProviderError::Revoked)), Status::Revoked);
        assert_eq!(Status::Revoked.after(Err(&down)), Status::Revoked);
    }
}
