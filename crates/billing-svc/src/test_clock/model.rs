//! How the clock of a company's test mode stands, and where it may go.

use jiff::SignedDuration;
use kit::Timestamp;
use serde::{Deserialize, Serialize};

/// How far one call moves the clock at most: two years, one of them a leap year.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 731);
/// How far it may be ahead of the machine's at all. Nobody tries out more, and dates stay where calendars have them.
const FARTHEST: SignedDuration = SignedDuration::from_hours(24 * 366 * 100);

/// A clock that was moved. It goes on like the machine's, ahead by what only ever grows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestClock {
    pub ahead_ms: i64,
    /// Where it is on its way to.
    #[serde(default, with = "store::time::option")]
    pub moving_to: Option<Timestamp>,
    /// Where it was last told to go: told so again, there is nothing to do.
    #[serde(default, with = "store::time::option")]
    pub told: Option<Timestamp>,
}

/// Why it does not go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum No {
    Backwards,
    TooFar,
    /// It is on its way to somewhere else.
    Moving,
}

impl TestClock {
    /// What it shows when the machine's says `machine`.
    pub fn shows(&self, machine: Timestamp) -> Timestamp {
        machine.checked_add(SignedDuration::from_millis(self.ahead_ms)).unwrap_or(Timestamp::MAX)
    }

    /// Sends it there; none when it was sent there before.
    pub fn sent(&self, to: Timestamp, machine: Timestamp) -> Result<Option<Self>, No> {
        let now = self.shows(machine);
        if self.told == Some(to) {
            Ok(None)
        } else if self.moving_to.is_some() {
            Err(No::Moving)
        } else if to < now {
            Err(No::Backwards)
        } else if to.duration_since(now) > LONGEST || to.duration_since(machine) > FARTHEST {
            Err(No::TooFar)
        } else {
            Ok(Some(Self { moving_to: Some(to), told: Some(to), ..self.clone() }))
        }
    }

    /// Some of the way on. What it passed already it does not go back to.
    pub fn at(&self, stop: Timestamp, machine: Timestamp) -> Self {
        let ahead_ms = stop.duration_since(machine).as_millis();
        let ahead_ms = i64::try_from(ahead_ms).unwrap_or(i64::MAX).max(self.ahead_ms);
        Self { ahead_ms, ..self.clone() }
    }

    /// At its goal.
    pub fn arrived(&self) -> Self {
        Self { moving_to: None, ..self.clone() }
    }
}

/// Where a clock stops next on its way to `goal`, when something is due at `due`: with everything else of the same hour,
/// or a company whose subscriptions renew at a thousand different minutes would stop a thousand times.
pub fn stop(due: Option<Timestamp>, goal: Timestamp) -> Timestamp {
    let hour = |at: Timestamp| (at.as_second().div_euclid(3_600) + 1).saturating_mul(3_600);
    let hour = due.and_then(|at| Timestamp::from_second(hour(at)).ok());
    hour.map_or(goal, |at| at.min(goal))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_clock_goes_forward_only_and_where_it_was_sent_twice_it_goes_once() {
        let clock = TestClock::default();
        let sent = clock.sent(at(5_000), at(1_000)).unwrap().unwrap();
        assert_eq!(sent.sent(at(5_000), at(1_000)), Ok(None));
        assert_eq!(sent.sent(at(6_000), at(1_000)), Err(No::Moving));
        let there = sent.at(at(5_000), at(1_001)).arrived();
        assert_eq!((there.shows(at(1_001)), there.ahead_ms), (at(5_000), 3_999_000));
        assert_eq!(there.sent(at(5_000), at(1_100)), Ok(None), "also long after");
        assert_eq!(there.sent(at(4_000), at(1_001)), Err(No::Backwards));
        let days = |n: i64| kit::time::add_days(at(5_000), n);
        assert_eq!(there.sent(days(732), at(1_001)), Err(No::TooFar));
        assert!(there.sent(days(731), at(1_001)).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn stops_lie_behind_what_is_due_and_never_behind_the_goal(due in 0_i64..10_000_000, more in 0_i64..1_000_000) {
            let (due, goal) = (at(due), at(due + more));
            let stop = stop(Some(due), goal);
            prop_assert!(stop >= due && stop <= goal);
            prop_assert!(stop == goal || stop > due, "there is always a way on");
        }
    }
}
