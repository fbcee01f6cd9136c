//! A run and how it moves (§10.5).

use jiff::SignedDuration;
use kit::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Decision;
use crate::flow_session::FlowRef;
use crate::workflow::Trigger;

/// How often a node is tried.
pub const MOST_TRIES: u32 = 5;
/// How many nodes a run may come to: what goes round too often is stopped.
pub const MOST_VISITS: usize = 500;
/// How long a worker may be silent before its run is another's.
pub const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// How long a run is that only does what a flow with a customer asked for.
const ERRAND_DAYS: i64 = 7;

/// §10.5. `failed` is passing: it is queued again at once, or dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Running,
    Waiting,
    Completed,
    Failed,
    Dead,
    Canceled,
    TimedOut,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Dead => "dead",
            Self::Canceled => "canceled",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether one state may follow the other.
    pub fn leads_to(self, next: Self) -> bool {
        use RunState::{Canceled, Completed, Dead, Failed, Queued, Running, TimedOut, Waiting};
        matches!(
            (self, next),
            (Queued, Running | Canceled)
                | (Running, Running | Waiting | Completed | Failed | Canceled)
                | (Waiting, Running | Canceled | TimedOut)
                | (Failed, Queued | Dead)
        )
    }

    /// Nothing comes after it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Dead | Self::Canceled | Self::TimedOut)
    }
}

/// What a run began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Began {
    By(Trigger),
    /// An action of a flow with a customer: the node it stands at, and no further.
    Action,
}

/// How a wait ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Time,
    /// The event of this id.
    Event(String),
}

/// A wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub until: Timestamp,
    /// Empty: only time ends it.
    pub event: String,
    pub ended: Option<Ended>,
    pub ended_at: Option<Timestamp>,
}

/// What an action did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Run, node and visit.
    pub key: String,
    pub action: String,
    /// `asked`: it is on its way; `done`.
    pub outcome: String,
    pub at: Timestamp,
}

/// A run at a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunVisit {
    pub node: String,
    pub kind: String,
    /// The how manieth of this node.
    pub visit: u32,
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub exit: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Waiting>,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowRun {
    pub flow: FlowRef,
    pub began: Began,
    /// Names what started it: the same event, or the same request, starts nothing twice.
    pub start_key: String,
    pub customer_id: String,
    /// Whose it was before records were merged, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moved_from: Vec<String>,
    pub subscription_id: String,
    /// Of what one run at a time is under way: the subscription, or the customer where there is none; of an action, itself.
    pub about: String,
    /// The visit that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// The persona that was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persona_id: Option<String>,
    pub state: RunState,
    /// Not ended. Absent when it did: the indexes of open runs hold only these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<bool>,
    /// The node it comes to next; that of its last visit while it waits.
    pub node: String,
    pub visits: Vec<RunVisit>,
    /// The event that would end its wait; absent while it does not wait for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listens_to: Option<String>,
    /// Queued: not before this. Running: the worker's until this. Waiting: until this. So one comparison finds what may be
    /// taken up.
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
    #[serde(with = "store::time")]
    pub ends_by: Timestamp,
    /// When what it is about happened: news from before then are not of it.
    #[serde(with = "store::time")]
    pub since: Timestamp,
    pub tries: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub last_error: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The subscription was seen as the trigger says: from then on, that it is not so any more ends the run.
    #[serde(default)]
    pub seen: bool,
    #[serde(default, with = "store::time::option")]
    pub ended_at: Option<Timestamp>,
}

/// An action a flow with a customer came by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The run that does it.
    pub run_id: String,
    pub node: String,
}

impl WorkflowRun {
    /// A run that begins at a node.
    pub fn new(flow: FlowRef, trigger: Trigger, start_key: String, node: &str, now: Timestamp) -> Self {
        Self {
            flow,
            began: Began::By(trigger),
            start_key,
            customer_id: String::new(),
            moved_from: Vec::new(),
            subscription_id: String::new(),
            about: String::new(),
            session_id: None,
            persona_id: None,
            state: RunState::Queued,
            open: Some(true),
            node: node.to_owned(),
            visits: Vec::new(),
            listens_to: None,
            due_at: now,
            ends_by: now,
            since: now,
            tries: 0,
            last_error: String::new(),
            reason: String::new(),
            seen: false,
            ended_at: None,
        }
    }

    /// A run that does one thing for a visit.
    pub fn errand(
        flow: FlowRef,
        session_id: &str,
        customer_id: &str,
        subscription_id: &str,
        errand: &Errand,
        now: Timestamp,
    ) -> Self {
        let key = format!("action/{}", errand.run_id);
        Self {
            began: Began::Action,
            customer_id: customer_id.to_owned(),
            subscription_id: subscription_id.to_owned(),
            about: errand.run_id.clone(),
            session_id: Some(session_id.to_owned()),
            ends_by: kit::time::add_days(now, ERRAND_DAYS),
            ..Self::new(flow, Trigger::Manual, key, &errand.node, now)
        }
    }

    /// The key of what a visit of a node does outside.
    pub fn key(id: &str, node: &str, visit: u32) -> String {
        format!("workflow/{id}/{node}/{visit}")
    }

    /// The how manieth visit of a node the next one is.
    pub fn next_visit(&self, node: &str) -> u32 {
        let before = self.visits.iter().filter(|v| v.node == node).count();
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The wait it stands at.
    pub fn waiting(&self) -> Option<&Waiting> {
        self.visits.last().and_then(|v| v.wait.as_ref()).filter(|w| w.ended.is_none())
    }

    /// Taken up by a worker, as its time has come. A wait that lasts for as long as the run may is none that ends.
    #[must_use]
    pub fn taken(&self, now: Timestamp) -> Self {
        if self.waiting().is_some_and(|w| w.until >= self.ends_by) {
            return self.ended(RunState::TimedOut, "max_days", now);
        }
        let mut next = self.clone();
        if let Some(wait) = next.visits.last_mut().and_then(|v| v.wait.as_mut())
            && wait.ended.is_none()
        {
            (wait.ended, wait.ended_at) = (Some(Ended::Time), Some(now));
        }
        let (due_at, tries) = (leased(now), self.tries.saturating_add(1));
        Self { state: RunState::Running, due_at, tries, listens_to: None, ..next }
    }

    /// An event came that it waits for; which way that leads is for the worker.
    #[must_use]
    pub fn woken(&self, event_id: &str, now: Timestamp) -> Option<Self> {
        let heard = |v: &RunVisit| matches!(&v.wait, Some(Waiting { ended: Some(Ended::Event(id)), .. }) if id == event_id);
        // The event that began it, or ended an earlier wait, given once more.
        if self.state != RunState::Waiting
            || self.start_key.contains(event_id)
            || self.visits.iter().any(heard)
        {
            return None;
        }
        let mut next = self.clone();
        let wait = next.visits.last_mut().and_then(|v| v.wait.as_mut()).filter(|w| w.ended.is_none())?;
        wait.ended = Some(Ended::Event(event_id.to_owned()));
        wait.ended_at = Some(now);
        Some(Self { state: RunState::Running, due_at: now, listens_to: None, ..next })
    }

    /// Ended.
    #[must_use]
    pub fn ended(&self, state: RunState, reason: &str, now: Timestamp) -> Self {
        let (reason, ended_at) = (reason.to_owned(), Some(now));
        Self { state, open: None, listens_to: None, reason, ended_at, ..self.clone() }
    }

    /// A try failed: queued again for later, or dead when it is hopeless or was tried often enough.
    #[must_use]
    pub fn failed(&self, id: &str, code: &str, hopeless: bool, now: Timestamp) -> Self {
        let last_error: String = code.chars().take(200).collect();
        let failed = Self { state: RunState::Failed, last_error, ..self.clone() };
        if hopeless || self.tries >= MOST_TRIES {
            return failed.ended(RunState::Dead, code, now);
        }
        let due_at = now.checked_add(backoff(id, self.tries)).unwrap_or(Timestamp::MAX);
        Self { state: RunState::Queued, due_at, ..failed }
    }
}

/// Until when a worker has what it takes up now.
pub fn leased(now: Timestamp) -> Timestamp {
    now.checked_add(LEASE).unwrap_or(Timestamp::MAX)
}

/// Half a minute, two minutes, eight, half an hour: each up to half as long again, so that runs that failed together do
/// not come back together.
fn backoff(id: &str, tries: u32) -> SignedDuration {
    let ms = 30_000_i64 << (2 * tries.saturating_sub(1)).min(8);
    // Spread by the id and the try, so that nothing here needs chance.
    let seed = id.bytes().fold(i64::from(tries), |sum, b| sum.wrapping_mul(31).wrapping_add(i64::from(b)));
    SignedDuration::from_millis(ms + seed.rem_euclid(ms / 2))
}
