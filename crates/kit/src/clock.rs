//! Time is an argument. Everything asks a [`Clock`], so tests move it instead of sleeping.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// Tells the time, in whole milliseconds: what the database can store, so a value read back equals the one written.
pub trait Clock: Send + Sync + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The clock as it is passed around.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the machine.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        millis(Timestamp::now())
    }
}

/// The machine's clock, moved by an offset that only ever grows. Tests hold it to make months pass.
#[derive(Clone, Default)]
pub struct MovedClock {
    offset_ms: Arc<AtomicI64>,
}

impl MovedClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: SignedDuration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX).max(0);
        self.offset_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        let offset = SignedDuration::from_millis(self.offset_ms.load(Ordering::SeqCst));
        SystemClock.now().checked_add(offset).unwrap_or(Timestamp::MAX)
    }
}

/// Cuts an instant to whole milliseconds.
pub fn millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_clock_runs_ahead_of_the_machine() {
        let clock = MovedClock::default();
        let before = clock.now();
        clock.advance(SignedDuration::from_hours(24 * 30));
        assert!(clock.now().duration_since(before) >= SignedDuration::from_hours(24 * 30));
    }
}
