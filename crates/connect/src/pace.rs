//! How fast an account elsewhere may be asked. Every account has a bucket that fills at the pace its plan allows; what the
//! provider says in its answers corrects it. A call waits for its turn for a bounded time and is then refused, and
//! background work leaves a reserve, so that somebody who waits for an answer does not wait behind a sync.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::SignedDuration;
use kit::{ExposeSecret, SecretString, SharedClock, Timestamp};
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::answer::HttpError;

/// How long a call waits for its turn: somebody who looks at a page, and work nobody waits for.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_IN_BACKGROUND: Duration = Duration::from_secs(10);
/// The share of a bucket that background work leaves to others.
const RESERVE: f64 = 0.2;
/// The wait after a refusal that does not say how long, and the longest one believed.
const UNSAID: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A refused account is asked at half the pace, again and again down to this share of it.
const SLOWEST: f64 = 1.0 / 16.0;
/// How many accounts are kept before those that rest are forgotten.
const MANY: usize = 1_000;

tokio::task_local! {
    static IN_BACKGROUND: ();
}

/// Does work nobody waits for: the calls in it come after everybody else's.
pub async fn in_background<F: Future>(work: F) -> F::Output {
    IN_BACKGROUND.scope((), work).await
}

/// What an account's plan allows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Allowance {
    per_second: f64,
    /// How many calls may go out at once after a rest.
    burst: f64,
}

impl Allowance {
    /// So many in a second.
    pub fn per_second(calls: u32) -> Self {
        let per_second = f64::from(calls.max(1));
        Self { per_second, burst: per_second }
    }

    /// So many in a minute, a tenth of them at once.
    pub fn per_minute(calls: u32) -> Self {
        let per_minute = f64::from(calls.max(1));
        Self { per_second: per_minute / 60.0, burst: (per_minute / 10.0).max(2.0) }
    }
}

/// By system, and the hash of the key the account is reached with.
type Accounts = HashMap<(&'static str, String), Arc<Pace>>;

/// The paces of all accounts. Clones share them.
#[derive(Clone)]
pub struct Paces {
    accounts: Arc<Mutex<Accounts>>,
    clock: SharedClock,
}

impl Paces {
    pub fn new(clock: SharedClock) -> Self {
        Self { accounts: Arc::default(), clock }
    }

    /// The pace of one account, told apart by the key it is reached with.
    pub fn of(&self, system: &'static str, key: &SecretString, allowance: Allowance) -> Arc<Pace> {
        let hash = digest::digest(&digest::SHA256, key.expose_secret().as_bytes());
        let name = hex::encode(&hash.as_ref()[..16]);
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MANY {
            accounts.retain(|_, pace| Arc::strong_count(pace) > 1);
        }
        let new = || Arc::new(Pace::new(system, allowance, self.clock.clone()));
        accounts.entry((system, name)).or_insert_with(new).clone()
    }
}

/// The pace of one account.
pub struct Pace {
    system: &'static str,
    bucket: Mutex<Bucket>,
    clock: SharedClock,
}

impl Pace {
    fn new(system: &'static str, allowance: Allowance, clock: SharedClock) -> Self {
        let bucket = Mutex::new(Bucket::new(allowance, clock.now()));
        Self { system, bucket, clock }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; [`HttpError::Held`] when it would take too long.
    pub async fn turn(&self) -> Result<(), HttpError> {
        let background = IN_BACKGROUND.try_with(|()| ()).is_ok();
        let patience = if background { PATIENCE_IN_BACKGROUND } else { PATIENCE };
        let mut waited = Duration::ZERO;
        loop {
            let Err(wait) = self.bucket().take(background, self.clock.now()) else {
                metrics::histogram!("outgoing_wait_seconds", "system" => self.system)
                    .record(waited.as_secs_f64());
                return Ok(());
            };
            if waited + wait > patience {
                metrics::counter!("outgoing_held_total", "system" => self.system).increment(1);
                return Err(HttpError::Held { after: wait });
            }
            tokio::time::sleep(wait).await;
            waited += wait;
        }
    }

    /// Takes in what an answer says of limits.
    pub fn heard(&self, status: u16, headers: &HeaderMap) {
        self.bucket().heard(Said::of(status, headers), self.clock.now());
    }
}

/// What an answer says of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Said {
    /// Asked too often.
    refused: bool,
    /// The whole account is meant, not only the object or the endpoint that was asked for.
    whole_account: bool,
    wait: Option<Duration>,
    remaining: Option<f64>,
    resets_at: Option<Timestamp>,
}

impl Said {
    fn of(status: u16, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::trim);
        let number = |name: &str| text(name).and_then(|t| t.parse::<u32>().ok());
        let refused = status == 429;
        // Stripe names its limiter; one of an endpoint or a resource says nothing about the rest of the account.
        let reason = text("stripe-rate-limited-reason").unwrap_or_default();
        Self {
            refused,
            whole_account: !(reason.starts_with("endpoint") || reason.starts_with("resource")),
            wait: number(RETRY_AFTER.as_str()).map(|s| Duration::from_secs(s.into())).filter(|_| refused),
            remaining: number("x-ratelimit-remaining").map(f64::from),
            resets_at: text("x-ratelimit-reset")
                .and_then(|t| t.parse().ok())
                .and_then(|s| Timestamp::from_second(s).ok()),
        }
    }
}

/// Rules only; the time comes in.
struct Bucket {
    allowance: Allowance,
    /// The share of the pace that is used: less after refusals.
    share: f64,
    tokens: f64,
    at: Timestamp,
    closed_until: Option<Timestamp>,
}

impl Bucket {
    fn new(allowance: Allowance, now: Timestamp) -> Self {
        Self { allowance, share: 1.0, tokens: allowance.burst, at: now, closed_until: None }
    }

    /// Takes a turn, or says how long to wait before asking again.
    fn take(&mut self, background: bool, now: Timestamp) -> Result<(), Duration> {
        if let Some(until) = self.closed_until {
            if now < until {
                return Err(after(now, until));
            }
            self.closed_until = None;
            self.at = until;
        }
        let pace = self.allowance.per_second * self.share;
        let passed = now.duration_since(self.at).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + passed * pace).min(self.allowance.burst);
        self.at = self.at.max(now);
        let needed = if background { 1.0 + self.allowance.burst * RESERVE } else { 1.0 };
        if self.tokens < needed {
            let wait = Duration::from_secs_f64((needed - self.tokens) / pace);
            return Err(wait.max(Duration::from_millis(1)));
        }
        self.tokens -= 1.0;
        Ok(())
    }

    fn heard(&mut self, said: Said, now: Timestamp) {
        let Said { refused, whole_account, wait, remaining, resets_at } = said;
        if let Some(remaining) = remaining {
            self.tokens = self.tokens.min(remaining);
        }
        let used_up = remaining == Some(0.0) || (refused && whole_account);
        if used_up {
            let reset = resets_at.map(|at| after(now, at));
            let wait = wait.or(reset).unwrap_or(UNSAID).min(LONGEST);
            let until = SignedDuration::try_from(wait).ok().and_then(|w| now.checked_add(w).ok());
            self.closed_until = self.closed_until.max(until);
            self.tokens = 0.0;
        }
        self.share = match refused && whole_account {
            true => (self.share / 2.0).max(SLOWEST),
            false if refused => self.share,
            false => (self.share * 1.02).min(1.0),
        };
    }
}

fn after(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect()
    }

    /// How many of many calls get through at once.
    fn through(bucket: &mut Bucket, background: bool, now: Timestamp) -> usize {
        (0..1_000).take_while(|_| bucket.take(background, now).is_ok()).count()
    }

    #[test]
    fn no_more_goes_out_than_the_plan_allows() {
        let mut bucket = Bucket::new(Allowance::per_second(20), at(0));
        assert_eq!(through(&mut bucket, false, at(0)), 20);
        assert_eq!(bucket.take(false, at(0)), Err(Duration::from_millis(50)));
        let first_second: usize = (1..=100).map(|n| through(&mut bucket, false, at(n * 10))).sum();
        assert!((19..=20).contains(&first_second), "{first_second}");
        assert_eq!(through(&mut bucket, false, at(60_000)), 20, "a rest is not saved up");
        assert_eq!(through(&mut Bucket::new(Allowance::per_minute(150), at(0)), false, at(0)), 15);
    }

    #[test]
    fn background_work_leaves_a_reserve_to_somebody_who_waits() {
        let mut bucket = Bucket::new(Allowance::per_second(20), at(0));
        assert_eq!(through(&mut bucket, true, at(0)), 16);
        assert!(bucket.take(true, at(0)).is_err());
        assert_eq!(through(&mut bucket, false, at(0)), 4);
    }

    #[test]
    fn each_provider_s_own_words_are_heard() {
        // Stripe, and what most say: wait so long.
        let mut bucket = Bucket::new(Allowance::per_second(20), at(0));
        bucket.heard(Said::of(429, &headers(&[("retry-after", "7")])), at(0));
        assert_eq!(bucket.take(false, at(0)), Err(Duration::from_secs(7)));
        assert!(bucket.take(false, at(6_999)).is_err() && bucket.take(false, at(7_200)).is_ok());
        // One object that is being changed is no reason to stop asking for others.
        let mut bucket = Bucket::new(Allowance::per_second(20), at(0));
        for reason in ["resource-specific", "endpoint-rate", "endpoint-concurrency"] {
            bucket.heard(Said::of(429, &headers(&[("stripe-rate-limited-reason", reason)])), at(0));
        }
        assert!(bucket.take(false, at(0)).is_ok());
        bucket.heard(Said::of(429, &headers(&[("stripe-rate-limited-reason", "global-rate")])), at(0));
        assert_eq!(bucket.take(false, at(0)), Err(UNSAID));
        // Recurly: so many are left until then.
        let mut bucket = Bucket::new(Allowance::per_minute(400), at(0));
        bucket.heard(Said::of(200, &headers(&[("x-ratelimit-remaining", "3")])), at(0));
        assert_eq!(through(&mut bucket, false, at(0)), 3);
        let reset = at(42_000).as_second().to_string();
        let none_left = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)]);
        bucket.heard(Said::of(200, &none_left), at(0));
        assert_eq!(bucket.take(false, at(0)), Err(Duration::from_secs(42)));
        // Nobody is believed for ever.
        bucket.heard(Said::of(429, &headers(&[("retry-after", "86400")])), at(0));
        assert_eq!(bucket.take(false, at(0)), Err(LONGEST));
    }

    #[test]
    fn an_account_that_refuses_is_asked_more_slowly_and_then_faster_again() {
        let mut bucket = Bucket::new(Allowance::per_second(16), at(0));
        bucket.heard(Said::of(429, &HeaderMap::new()), at(0));
        let second = |bucket: &mut Bucket, from: i64| -> usize {
            (1..=100).map(|n| through(bucket, false, at(from + n * 10))).sum()
        };
        let slow = second(&mut bucket, 1_000);
        assert!((7..=8).contains(&slow), "half the pace after the wait: {slow}");
        (0..200).for_each(|_| bucket.heard(Said::of(200, &HeaderMap::new()), at(2_000)));
        let fast = second(&mut bucket, 2_000);
        // What the slow second left of a turn counts in the fast one.
        assert!((23..=24).contains(&(slow + fast)), "{slow} and {fast}");
        (0..50).for_each(|_| bucket.heard(Said::of(429, &HeaderMap::new()), at(3_000)));
        assert!((bucket.share - SLOWEST).abs() < f64::EPSILON, "but it is asked");
    }
}
