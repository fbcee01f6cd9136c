//! How often one caller may call, by class of operation; how often all of a company together; and how often an address
//! may come without a good credential. Counted per replica. What was counted is said on the answer, as
//! draft-ietf-httpapi-ratelimit-headers has it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::response::Response;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use kit::{Caller, Role};
use proto::edge::RateClass;

use super::access;
use crate::edge::problem::Problem;

/// What is left of the allowances that were counted.
pub const LIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The allowances themselves.
pub const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Names on the wire, requests per second and how many at once: of one caller.
const LIMITS: [(RateClass, &str, &str, u32, u32); 5] = [
    (RateClass::Read, "read", "company-read", 100, 400),
    (RateClass::Write, "write", "company-write", 50, 200),
    (RateClass::Sensitive, "sensitive", "company-sensitive", 2, 30),
    (RateClass::Intake, "intake", "company-intake", 1_000, 4_000),
    (RateClass::Heavy, "heavy", "company-heavy", 2, 20),
];
/// All keys and people of a company together have so many times what one of them has. Its customers in flows are counted
/// apart: no key can shut them out.
const COMPANY: u32 = 5;
/// Refused credentials of one address: a typo now and then, not a search.
const STRANGERS: (&str, u32, u32) = ("unauthenticated", 1, 60);

type Keyed = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// One allowance: a bucket per key.
struct Limiter {
    name: &'static str,
    each: u32,
    burst: u32,
    keyed: Keyed,
}

/// What was counted for the request at hand.
struct Count {
    name: &'static str,
    quota: u32,
    /// Seconds in which a whole quota comes back.
    window: u32,
    left: u32,
    /// Seconds until it is whole again.
    until: u32,
}

tokio::task_local! {
    static COUNTS: RefCell<Vec<Count>>;
}

impl Limiter {
    fn new(name: &'static str, each: u32, burst: u32) -> Self {
        let some = |n: u32| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(some(each)).allow_burst(some(burst));
        Self {
            name,
            each: each.max(1),
            burst: burst.max(1),
            keyed: RateLimiter::keyed(quota).with_middleware(),
        }
    }

    fn check(&self, clock: &DefaultClock, key: &String) -> Result<(), Problem> {
        let checked = self.keyed.check_key(key);
        let left = checked.as_ref().map_or(0, |state| state.remaining_burst_capacity());
        let count = Count {
            name: self.name,
            quota: self.burst,
            window: self.burst.div_ceil(self.each),
            left,
            until: self.burst.saturating_sub(left).div_ceil(self.each),
        };
        // Outside of a request, as in tests, nobody reads it.
        COUNTS.try_with(|counts| counts.borrow_mut().push(count)).ok();
        checked.map(|_| ()).map_err(|until| {
            let wait = until.wait_time_from(clock.now());
            metrics::counter!("rate_limited_total", "class" => self.name).increment(1);
            Problem {
                retry_after: Some(Duration::from_secs(wait.as_secs() + 1)),
                ..Problem::new(429, "rate_limited", "too many requests; come back after Retry-After")
            }
        })
    }
}

pub struct Rates {
    clock: DefaultClock,
    callers: HashMap<RateClass, Limiter>,
    companies: HashMap<RateClass, Limiter>,
    strangers: Limiter,
}

impl Rates {
    pub fn new(scale: u32) -> Self {
        let times = |n: u32, by: u32| n.saturating_mul(scale).saturating_mul(by);
        let callers = LIMITS.into_iter().map(|(class, name, _, each, burst)| {
            (class, Limiter::new(name, times(each, 1), times(burst, 1)))
        });
        let companies = LIMITS.into_iter().map(|(class, _, name, each, burst)| {
            (class, Limiter::new(name, times(each, COMPANY), times(burst, COMPANY)))
        });
        let (name, each, burst) = STRANGERS;
        Self {
            clock: DefaultClock::default(),
            callers: callers.collect(),
            companies: companies.collect(),
            strangers: Limiter::new(name, times(each, 1), times(burst, 1)),
        }
    }

    /// Counts a request of a known caller, for itself and for its company, or says when to come back.
    pub fn admit(&self, class: RateClass, caller: &Caller, parts: &Parts) -> Result<(), Problem> {
        self.check(class, &access::rate_key(caller, parts))?;
        match (&caller.scope, self.companies.get(&class)) {
            (Some(scope), Some(limiter)) if caller.role == Role::Widget => {
                limiter.check(&self.clock, &format!("flow:{}", scope.company))
            }
            (Some(scope), Some(limiter)) => limiter.check(&self.clock, &scope.company),
            _ => Ok(()),
        }
    }

    /// Counts a request under a key of the caller's choosing.
    pub fn check(&self, class: RateClass, key: &String) -> Result<(), Problem> {
        self.callers.get(&class).map_or(Ok(()), |limiter| limiter.check(&self.clock, key))
    }

    /// Counts a refused credential. A good one from the same address is not hindered.
    fn stranger(&self, from: Option<IpAddr>) -> Result<(), Problem> {
        self.strangers.check(&self.clock, &from.map_or_else(|| "unknown".to_owned(), network))
    }

    /// Forgets callers who have been quiet for long enough to have their whole allowance again.
    pub fn forget(&self) {
        let all = self.callers.values().chain(self.companies.values());
        for limiter in all.chain([&self.strangers]) {
            limiter.keyed.retain_recent();
        }
    }
}

/// An address, as one who is counted has it: of IPv6 the /64 a site is given.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).to_string()
        }
    }
}

/// Around every route: says on the answer what was counted, and counts the 401s.
pub async fn counted(
    rates: &Rates,
    from: Option<IpAddr>,
    answer: impl Future<Output = Response>,
) -> Response {
    let work = async {
        let mut response = answer.await;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Err(problem) = rates.stranger(from)
        {
            response = instead(&response, &problem);
        }
        let counts = COUNTS.with(RefCell::take);
        say(&counts, response.headers_mut());
        response
    };
    COUNTS.scope(RefCell::default(), work).await
}

/// A problem in the place of an answer, under the same request id.
fn instead(answer: &Response, problem: &Problem) -> Response {
    let named = answer.headers().get(super::REQUEST_ID);
    let mut response = problem.respond(named.and_then(|v| v.to_str().ok()).unwrap_or_default());
    for name in [super::REQUEST_ID, HeaderName::from_static("traceparent")] {
        if let Some(value) = answer.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn say(counts: &[Count], headers: &mut HeaderMap) {
    let (mut limit, mut policy) = (String::new(), String::new());
    for Count { name, quota, window, left, until } in counts {
        let comma = if limit.is_empty() { "" } else { ", " };
        // Writing to a string does not fail.
        write!(limit, "{comma}\"{name}\";r={left};t={until}").ok();
        write!(policy, "{comma}\"{name}\";q={quota};w={window}").ok();
    }
    if limit.is_empty() {
        return;
    }
    for (name, text) in [(LIMIT, limit), (POLICY, policy)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
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

    #[test]
    fn many_keys_of_one_company_do_not_starve_another_nor_its_own_customers() {
        let rates = Rates::new(1);
        let (parts, ()) = http::Request::new(()).into_parts();
        let heavy = |role: Role, company: &str, actor: String| {
            let caller = Caller {
                role,
                actor: kit::caller::Actor::new("api_key", actor),
                scope: Some(kit::Scope::new(company, kit::Mode::Live)),
                grants: Vec::new(),
                session: None,
                reason: None,
                request_id: String::new(),
                address: None,
                device: None,
            };
            rates.admit(RateClass::Heavy, &caller, &parts)
        };
        let refused = (0..120).find_map(|n| heavy(Role::Machine, "com_1", format!("key_{n}")).err());
        assert_eq!(refused.unwrap().status, 429);
        assert!(heavy(Role::Machine, "com_2", "key_x".into()).is_ok());
        assert!(heavy(Role::Widget, "com_1", "fls_1".into()).is_ok());
    }

    #[test]
    fn an_answer_says_what_is_left_in_structured_fields() {
        let counts = [
            Count { name: "read", quota: 400, window: 4, left: 123, until: 3 },
            Count { name: "company-read", quota: 2000, window: 4, left: 1999, until: 1 },
        ];
        let mut headers = HeaderMap::new();
        say(&counts, &mut headers);
        assert_eq!(headers[POLICY], r#""read";q=400;w=4, "company-read";q=2000;w=4"#);
        assert_eq!(headers[LIMIT], r#""read";r=123;t=3, "company-read";r=1999;t=1"#);
        let mut headers = HeaderMap::new();
        say(&[], &mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn addresses_of_one_site_are_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
