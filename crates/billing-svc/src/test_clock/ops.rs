//! What is done with a clock: read it, send it on.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use kit::{Caller, Mode, Scope, Timestamp};
use serde_json::json;
use store::Stored;
use tokio::sync::Notify;

use super::clocks::Clocks;
use super::model::{No, TestClock};
use crate::error::{Error, Result};
use crate::events::Stamp;

/// The use cases of clocks.
#[derive(Clone)]
pub struct TestClocks {
    clocks: Clocks,
    wake: Arc<Notify>,
}

/// Where a clock is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Later(SignedDuration),
    Until(Timestamp),
}

/// A clock, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub clock: TestClock,
    pub now: Timestamp,
}

/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;
/// How often it is looked whether a clock has arrived.
const LOOK: Duration = Duration::from_millis(100);

impl TestClocks {
    pub fn new(clocks: Clocks, wake: Arc<Notify>) -> Self {
        Self { clocks, wake }
    }

    pub async fn get(&self, scope: &Scope) -> Result<Shown> {
        in_test_mode(scope)?;
        let clock = self.clocks.of(scope).await?.map(|c| c.body).unwrap_or_default();
        Ok(self.shown(clock))
    }

    /// Sends the clock on. It is moved stop by stop by [`super::Passing`], which goes on with it whoever dies.
    pub async fn advance(&self, caller: &Caller, to: To) -> Result<Shown> {
        let scope = caller.scope()?;
        in_test_mode(scope)?;
        for _ in 0..TRIES {
            let read = self.clocks.of(scope).await?;
            let machine = self.clocks.machine();
            let clock = read.as_ref().map(|r| r.body.clone()).unwrap_or_default();
            let (field, goal) = match to {
                To::Later(by) => ("seconds", clock.shows(machine).checked_add(by).unwrap_or(Timestamp::MAX)),
                To::Until(at) => ("until", at),
            };
            let Some(next) =
                clock.sent(kit::clock::millis(goal), machine).map_err(|no| refused(no, field))?
            else {
                return Ok(self.shown(clock));
            };
            match self.save(caller, scope, read, &next).await {
                Err(store::Error::Stale(_) | store::Error::Duplicate(_)) => {}
                Err(other) => return Err(other.into()),
                Ok(_) => {
                    self.wake.notify_one();
                    return Ok(self.shown(next));
                }
            }
        }
        Err(Error::Busy)
    }

    /// The clock once it has arrived, or as it stands after `patience`.
    pub async fn arrived(&self, scope: &Scope, patience: Duration) -> Result<Shown> {
        let waited = async {
            loop {
                let shown = self.get(scope).await?;
                if shown.clock.moving_to.is_none() {
                    return Ok(shown);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match tokio::time::timeout(patience, waited).await {
            Ok(arrived) => arrived,
            Err(_) => self.get(scope).await,
        }
    }

    async fn save(
        &self,
        caller: &Caller,
        scope: &Scope,
        read: Option<Stored<TestClock>>,
        next: &TestClock,
    ) -> store::Result<Stored<TestClock>> {
        let (subject, sequence) = read.as_ref().map_or(("test_clock", 1), |r| (r.id.as_str(), r.version + 1));
        let stamp = Stamp { scope, subject, sequence, at: self.clocks.machine() };
        let said = json!({ "until": next.moving_to.map(|at| at.to_string()) });
        let audit = stamp.audited(caller, "test_clock", "test_clock.advance", None, Some(&said));
        let events = audit.into_iter().collect();
        match &read {
            Some(read) => self.clocks.store.replace(read, next.clone(), events).await,
            None => self.clocks.store.insert(scope, next.clone(), events).await,
        }
    }

    fn shown(&self, clock: TestClock) -> Shown {
        let now = clock.shows(self.clocks.machine());
        Shown { clock, now }
    }
}

fn in_test_mode(scope: &Scope) -> Result<()> {
    match scope.mode {
        Mode::Test => Ok(()),
        Mode::Live => Err(Error::Refused("test_mode_only", "live mode goes by the time of day".into())),
    }
}

fn refused(no: No, field: &str) -> Error {
    match no {
        No::Backwards => Error::field(field, "clock.backwards", "lies behind what the clock shows"),
        No::TooFar => Error::field(field, "clock.too_far", "is more than two years away"),
        No::Moving => {
            Error::Refused("clock_moving", "the clock is on its way; wait until it is there".into())
        }
    }
}
