//! How often one caller may call, by class of operation. Counted per replica.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use proto::edge::RateClass;

use crate::edge::problem::Problem;

/// Requests per second, and how many at once.
const LIMITS: [(RateClass, u32, u32); 5] = [
    (RateClass::Read, 100, 400),
    (RateClass::Write, 50, 200),
    (RateClass::Sensitive, 2, 30),
    (RateClass::Intake, 1_000, 4_000),
    (RateClass::Heavy, 2, 20),
];

pub struct Rates {
    clock: DefaultClock,
    limiters: HashMap<RateClass, DefaultKeyedRateLimiter<String>>,
}

impl Rates {
    pub fn new(scale: u32) -> Self {
        let some = |n: u32| NonZeroU32::new(n.saturating_mul(scale)).unwrap_or(NonZeroU32::MIN);
        let limiter = |(class, each, burst)| {
            (class, RateLimiter::keyed(Quota::per_second(some(each)).allow_burst(some(burst))))
        };
        Self { clock: DefaultClock::default(), limiters: LIMITS.into_iter().map(limiter).collect() }
    }

    /// Counts a request, or says when to come back.
    pub fn check(&self, class: RateClass, caller: &String) -> Result<(), Problem> {
        let Some(limiter) = self.limiters.get(&class) else { return Ok(()) };
        limiter.check_key(caller).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let seconds = Duration::from_secs(wait.as_secs() + 1);
            metrics::counter!("rate_limited_total", "class" => class.as_str_name()).increment(1);
            Problem {
                retry_after: Some(seconds),
                ..Problem::new(429, "rate_limited", "too many requests; come back after Retry-After")
            }
        })
    }

    /// Forgets callers who have been quiet for long enough to have their whole allowance again.
    pub fn forget(&self) {
        for limiter in self.limiters.values() {
            limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_calls_too_often_is_told_when_to_come_back_and_others_are_not_hindered() {
        let rates = Rates::new(1);
        let (busy, quiet) = (String::from("a"), String::from("b"));
        let refused = (0..31).find_map(|_| rates.check(RateClass::Sensitive, &busy).err());
        assert!(refused.unwrap().retry_after.is_some_and(|d| d >= Duration::from_secs(1)));
        assert!(rates.check(RateClass::Sensitive, &quiet).is_ok());
        assert!(rates.check(RateClass::Read, &busy).is_ok(), "classes are counted apart");
    }
}
