//! A circuit breaker per host: after a run of failures nothing is sent for a while, then one call tries.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many failures in a row open the circuit.
const FAILURES: u32 = 8;
/// How long it stays open before one call may try.
const OPEN_FOR: Duration = Duration::from_secs(15);

/// The circuits of all hosts that failed lately; one that works takes no room.
#[derive(Default)]
pub struct Breakers {
    hosts: Mutex<HashMap<String, Circuit>>,
}

#[derive(Default)]
struct Circuit {
    failures: u32,
    /// Nobody calls before this.
    closed_at: Option<Instant>,
}

impl Breakers {
    /// Whether a call may go out. At the end of an open time exactly one gets through and the time begins anew.
    pub fn admits(&self, host: &str, now: Instant) -> bool {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(circuit) = hosts.get_mut(host) else { return true };
        match circuit.closed_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                circuit.closed_at = Some(now + OPEN_FOR);
                true
            }
        }
    }

    /// Notes how a call went: `failed` when the host did not answer or answered that it is broken.
    pub fn note(&self, host: &str, failed: bool, now: Instant) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed {
            hosts.remove(host);
            return;
        }
        let circuit = hosts.entry(host.to_owned()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures >= FAILURES {
            circuit.closed_at = Some(now + OPEN_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_failures_opens_and_one_success_closes() {
        let (breakers, start) = (Breakers::default(), Instant::now());
        for _ in 0..FAILURES {
            assert!(breakers.admits("a", start));
            breakers.note("a", true, start);
        }
        assert!(!breakers.admits("a", start));
        assert!(breakers.admits("b", start), "other hosts are not concerned");
        let later = start + OPEN_FOR;
        assert!(breakers.admits("a", later), "one call tries");
        assert!(!breakers.admits("a", later), "and only one");
        breakers.note("a", false, later);
        assert!(breakers.admits("a", later));
    }
}
