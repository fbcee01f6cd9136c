//! A connection, its states, and the sync it carries.

use jiff::SignedDuration;
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
    pub const ALL: [Self; 5] =
        [Self::Disconnected, Self::Connecting, Self::Connected, Self::Degraded, Self::Revoked];

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
    /// Everything is read, not only what changed.
    #[serde(default)]
    pub full: bool,
    /// Everything was read once before, so what differs is drift, and what does not appear is looked for.
    #[serde(default)]
    pub compares: bool,
    /// Everything was read; now for what the mirror has and did not appear.
    #[serde(default)]
    pub sweeping: bool,
    #[serde(default)]
    pub drift: Drift,
}

/// What differed between mirror and provider, and was repaired.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// At the provider, not in the mirror.
    pub missing: u64,
    /// Newer at the provider: a change we never heard of.
    pub stale: u64,
    /// Of the same version, and yet not the same.
    pub changed: u64,
    /// In the mirror, not at the provider any more.
    pub vanished: u64,
    /// The first of them.
    pub examples: Vec<Drifted>,
}

/// One subscription that had drifted, by the provider's id, and what differed. Names of fields only: no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drifted {
    pub subscription: String,
    /// `missing`, `stale`, `changed`, `vanished`.
    pub kind: String,
    pub fields: Vec<String>,
}

/// How many examples of drift are kept.
const EXAMPLES: usize = 20;

impl Drift {
    pub fn count(&self) -> u64 {
        self.missing + self.stale + self.changed + self.vanished
    }

    /// Adds one more.
    pub fn add(&mut self, subscription: &str, kind: DriftKind, fields: Vec<String>) {
        let count = match kind {
            DriftKind::Missing => &mut self.missing,
            DriftKind::Stale => &mut self.stale,
            DriftKind::Changed => &mut self.changed,
            DriftKind::Vanished => &mut self.vanished,
        };
        *count += 1;
        if self.examples.len() < EXAMPLES {
            let subscription = subscription.to_owned();
            self.examples.push(Drifted { subscription, kind: kind.as_str().into(), fields });
        }
    }

    fn and(&self, more: &Self) -> Self {
        let examples = self.examples.iter().chain(&more.examples).take(EXAMPLES).cloned().collect();
        Self {
            missing: self.missing + more.missing,
            stale: self.stale + more.stale,
            changed: self.changed + more.changed,
            vanished: self.vanished + more.vanished,
            examples,
        }
    }
}

/// How a subscription had drifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftKind {
    Missing,
    Stale,
    Changed,
    Vanished,
}

impl DriftKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Stale => "stale",
            Self::Changed => "changed",
            Self::Vanished => "vanished",
        }
    }
}

/// The looks for what the provider told and never arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Where the next look begins; empty before the first.
    pub cursor: String,
    #[serde(with = "store::time::option", default)]
    pub looked_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub due_at: Option<Timestamp>,
    /// Events that never arrived, since the company connected.
    pub missed: u64,
    pub failures: u32,
}

/// The minutes between two looks; after failures they double, up to an hour or so.
const LOOK_EVERY: i64 = 5;

impl Watch {
    /// After a look, which reached `cursor` even if it failed there.
    pub fn looked(&self, cursor: &str, missed: u64, failed: bool, now: Timestamp) -> Self {
        let failures = if failed { self.failures + 1 } else { 0 };
        let wait = SignedDuration::from_mins(LOOK_EVERY << failures.min(4));
        Self {
            cursor: cursor.to_owned(),
            looked_at: if failed { self.looked_at } else { Some(now) },
            due_at: now.checked_add(wait).ok(),
            missed: self.missed + missed,
            failures,
        }
    }
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
        let full = cursor.is_empty();
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
            full,
            compares: false,
            sweeping: false,
            drift: Drift::default(),
        }
    }

    /// One that also finds what has drifted: the mirror was complete once.
    pub fn comparing(self) -> Self {
        Self { compares: self.full, ..self }
    }

    /// After one more page.
    pub fn page(&self, read: PageRead, next: String, done: bool, now: Timestamp) -> Self {
        let sweeps = done && self.compares && !self.sweeping;
        let done = done && !sweeps;
        Self {
            sweeping: self.sweeping || sweeps,
            drift: self.drift.and(&read.drift),
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
        let wait = SignedDuration::from_secs(2_i64.pow(failures.min(8)));
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRead {
    pub customers: u64,
    pub subscriptions: u64,
    pub rejected: u64,
    pub drift: Drift,
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
    /// Chargebee's; none elsewhere.
    #[serde(default)]
    pub site: Option<String>,
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
    /// When everything was last read and compared.
    #[serde(with = "store::time::option", default)]
    pub last_full_at: Option<Timestamp>,
    /// When the next sync begins by itself; none before the first one.
    #[serde(with = "store::time::option", default)]
    pub next_sync_at: Option<Timestamp>,
    #[serde(default)]
    pub watch: Watch,
    /// What works and should be looked at; empty when nothing.
    #[serde(default)]
    pub warning: String,
}

/// The hours between two syncs of what changed, and between two of everything.
const SYNC_EVERY: i64 = 1;
const COMPARE_EVERY: i64 = 24;

impl Connection {
    pub fn new(provider: ProviderKind) -> Self {
        Self {
            provider,
            status: Status::Connecting,
            account_name: String::new(),
            account_id: String::new(),
            region: Region::default(),
            site: None,
            secret: None,
            webhook_secrets: Vec::new(),
            rights: Vec::new(),
            last_sync_at: None,
            last_error: String::new(),
            sync: None,
            changes_from: None,
            last_full_at: None,
            next_sync_at: None,
            watch: Watch::default(),
            warning: String::new(),
        }
    }

    /// With one step of its sync done.
    pub fn stepped(&self, sync: Sync, now: Timestamp) -> Self {
        let done = sync.state == SyncState::Done;
        let next = Self {
            last_sync_at: if done { Some(now) } else { self.last_sync_at },
            last_full_at: if done && sync.full { Some(now) } else { self.last_full_at },
            changes_from: if done { Some(sync.cursor.clone()) } else { self.changes_from.clone() },
            last_error: sync.error.clone(),
            ..self.clone()
        };
        let over = sync.state != SyncState::Running;
        let later = now.checked_add(SignedDuration::from_hours(SYNC_EVERY)).ok();
        Self { next_sync_at: if over { later } else { self.next_sync_at }, sync: Some(sync), ..next }
    }

    /// The sync that is due by itself: of what changed, and once a day of everything.
    pub fn due_sync(&self, now: Timestamp) -> Option<Sync> {
        let due = self.next_sync_at.is_none_or(|at| at <= now);
        if !due || self.is_syncing() || !self.status.is_usable() || self.last_sync_at.is_none() {
            return None;
        }
        let old = now.checked_sub(SignedDuration::from_hours(COMPARE_EVERY)).unwrap_or(now);
        let everything = self.last_full_at.is_none_or(|at| at <= old);
        let cursor = self.changes_from.clone().filter(|_| !everything).unwrap_or_default();
        let since = self.last_sync_at.filter(|_| !cursor.is_empty());
        Some(Sync::start(cursor, since, now).comparing())
    }

    /// Since when the provider's events matter: what was before is in the mirror by the sync.
    pub fn heard_from(&self) -> Timestamp {
        let began = self.sync.as_ref().filter(|s| s.state == SyncState::Done).map(|s| s.started_at);
        began.or(self.last_sync_at).unwrap_or_default()
    }

    /// Without keys: nothing can be called any more.
    pub fn disconnected(&self) -> Self {
        Self {
            status: Status::Disconnected,
            secret: None,
            webhook_secrets: Vec::new(),
            rights: Vec::new(),
            last_error: String::new(),
            warning: String::new(),
            next_sync_at: None,
            watch: Watch::default(),
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
        let page = PageRead { customers: 2, subscriptions: 3, rejected: 1, drift: Drift::default() };
        let one = Sync::start(String::new(), None, at(0)).page(page.clone(), "c1".into(), false, at(1));
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
    fn what_did_not_appear_is_looked_for_once_everything_was_read() {
        let drift = |n| {
            let mut drift = Drift::default();
            (0..n).for_each(|i| drift.add(&format!("s{i}"), DriftKind::Stale, vec!["state".into()]));
            PageRead { drift, ..PageRead::default() }
        };
        let first = Sync::start(String::new(), None, at(0));
        assert_eq!(
            first.page(drift(0), "end".into(), true, at(1)).state,
            SyncState::Done,
            "nothing to compare"
        );
        let read = first.comparing().page(drift(15), "end".into(), true, at(1));
        assert_eq!((read.state, read.sweeping), (SyncState::Running, true));
        let swept = read.page(drift(15), "end".into(), true, at(2));
        assert_eq!((swept.state, swept.drift.stale, swept.drift.examples.len()), (SyncState::Done, 30, 20));
        assert!(!Sync::start("from".into(), Some(at(0)), at(0)).comparing().compares, "changes only");
    }

    #[test]
    fn syncs_come_by_themselves_once_the_first_is_done() {
        let hours = |n: i64| at(n * 3_600);
        let new = Connection { status: Status::Connected, ..Connection::new(ProviderKind::Stripe) };
        assert_eq!(new.due_sync(hours(100)), None, "somebody starts the first one");
        let sync =
            Sync::start(String::new(), None, hours(0)).page(PageRead::default(), "c".into(), true, hours(0));
        let done = new.stepped(sync, hours(0));
        assert_eq!((done.next_sync_at, done.last_full_at), (Some(hours(1)), Some(hours(0))));
        assert_eq!(done.due_sync(at(3_599)), None);
        let changes = done.due_sync(hours(1)).unwrap();
        assert_eq!((changes.cursor.as_str(), changes.full, changes.compares), ("c", false, false));
        let all = done.due_sync(hours(24)).unwrap();
        assert_eq!((all.cursor.as_str(), all.full, all.compares), ("", true, true));
        assert_eq!(done.disconnected().due_sync(hours(24)), None);
        let failed = done.stepped(all.stumbled("no".into(), false, hours(24)), hours(24));
        assert_eq!(failed.next_sync_at, Some(hours(25)), "and again later");
    }

    #[test]
    fn looks_come_less_often_while_they_fail() {
        let minutes = |n: i64| at(n * 60);
        let once = Watch::default().looked("a", 3, false, minutes(0));
        assert_eq!((once.due_at, once.looked_at, once.missed), (Some(minutes(5)), Some(minutes(0)), 3));
        let failed = once.looked("b", 1, true, minutes(5));
        assert_eq!((failed.due_at, failed.looked_at), (Some(minutes(15)), Some(minutes(0))));
        assert_eq!(failed.looked("b", 0, false, minutes(15)).due_at, Some(minutes(20)));
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
