//! Calls to Recurly's API: version pinned, every write under a key, pages followed only on the host we were told of, and
//! one table from their errors to ours.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connect::http::{Answer, Call, Http, HttpError};
use connect::pace::Pace;
use kit::{ExposeSecret, SecretString, SharedClock};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire;
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// The version whose shapes `wire.rs` describes.
pub const VERSION: &str = "v2021-02-25";
const ACCEPT: &str = "application/vnd.recurly.v2021-02-25+json";

/// The largest page there is.
pub const PAGE: &str = "200";
/// The most pages of one list that are read in one go.
const MOST_PAGES: usize = 50;
/// How long a call itself waits for the rate limit; beyond it whoever asked decides.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Client {
    http: Http,
    base: String,
    key: SecretString,
    clock: SharedClock,
    pace: Arc<Pace>,
    /// Plans seen: every subscription names one, and how often a plan bills does not change.
    plans: Arc<Mutex<HashMap<String, Arc<wire::Plan>>>>,
}

impl Client {
    pub fn new(http: Http, base: &str, key: SecretString, pace: Arc<Pace>, clock: SharedClock) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        Self { http, base, key, clock, pace, plans: Arc::default() }
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ProviderError> {
        let url = format!("{}{path}", self.base);
        read(&self.send(|| self.call(operation, Method::GET, &url).query(query)).await?)
    }

    /// A write; nothing where the answer has no body. There is none without a key, and a key is remembered for an hour
    /// only: whoever may come back later looks first.
    pub async fn write<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
        key: &IdempotencyKey,
    ) -> Result<(Option<T>, Receipt), ProviderError> {
        let url = format!("{}{path}", self.base);
        let call = || {
            let call = self.call(operation, method.clone(), &url).idempotency_key(key.as_str());
            match body {
                Some(body) => call.json(body),
                None => call,
            }
        };
        let answer = self.send(call).await?;
        let receipt = Receipt {
            request_id: answer.header("x-request-id").map(str::to_owned),
            replayed: answer.header("idempotency-prior").is_some_and(|v| v.eq_ignore_ascii_case("true")),
            made: None,
        };
        let said = if answer.body.is_empty() { None } else { Some(read(&answer)?) };
        Ok((said, receipt))
    }

    /// One page of a list: its first, or the one an earlier page named.
    pub async fn page<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
        next: Option<&str>,
    ) -> Result<(Vec<T>, Option<String>), ProviderError> {
        let page: wire::List<T> = match next {
            None => self.get(operation, path, query).await?,
            Some(next) => {
                let url = self.same_host(next)?;
                read(&self.send(|| self.call(operation, Method::GET, &url)).await?)?
            }
        };
        let further = page.next.filter(|_| page.has_more);
        if further.is_some() && further.as_deref() == next {
            return Err(unreadable("a page that says it comes after itself"));
        }
        Ok((page.data, further))
    }

    /// Every page of a list that is short enough to be read whole.
    pub async fn all<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<T>, ProviderError> {
        let (mut found, mut next, mut seen) = (Vec::new(), None, HashSet::new());
        for _ in 0..MOST_PAGES {
            let (page, further) = self.page(operation, path, query, next.as_deref()).await?;
            found.extend(page);
            match further {
                None => return Ok(found),
                Some(further) if !seen.insert(further.clone()) => {
                    return Err(unreadable("a list that goes round in circles"));
                }
                further => next = further,
            }
        }
        Err(unreadable("a list of more pages than are read"))
    }

    /// The plan of a subscription.
    pub async fn plan(&self, id: &str) -> Result<Arc<wire::Plan>, ProviderError> {
        let known = self.plans.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(plan) = known {
            return Ok(plan);
        }
        let plain = plain(id).ok_or(ProviderError::NotFound("plan"))?;
        let plan = Arc::new(self.get::<wire::Plan>("plan.read", &format!("/plans/{plain}"), &[]).await?);
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), plan.clone());
        Ok(plan)
    }

    fn call(&self, operation: &'static str, method: Method, url: &str) -> Call {
        self.http
            .call("recurly", operation, method, url)
            .basic(self.key.expose_secret(), &SecretString::from(""))
            .header("accept", ACCEPT)
            .paced(&self.pace)
            .repeat_when(worth_repeating)
    }

    /// Where `next` leads, if that is at the host our key belongs to: it would be told to any other.
    fn same_host(&self, next: &str) -> Result<String, ProviderError> {
        if next.starts_with('/') && !next.starts_with("//") {
            return Ok(format!("{}{next}", self.base));
        }
        match next.strip_prefix(self.base.as_str()) {
            Some(rest) if rest.starts_with(['/', '?']) => Ok(next.to_owned()),
            _ => Err(unreadable("a next page at another host")),
        }
    }

    async fn send(&self, call: impl Fn() -> Call) -> Result<Answer, ProviderError> {
        let mut answer = call().send().await;
        if let Ok(refused) = &answer
            && refused.status == 429
            && let Some(wait) = self.until_reset(refused).filter(|wait| *wait <= LONGEST_WAIT)
        {
            tokio::time::sleep(wait).await;
            answer = call().send().await;
        }
        match answer {
            Ok(answer) if answer.is_success() => {
                noted(&answer)?;
                Ok(answer)
            }
            Ok(answer) => Err(self.refusal(&answer)),
            Err(HttpError::CircuitOpen) => Err(ProviderError::Busy { after: Some(Duration::from_secs(15)) }),
            Err(HttpError::Held { after }) => Err(ProviderError::Busy { after: Some(after) }),
            Err(e @ HttpError::TooLarge) => Err(ProviderError::Unreadable(e.into())),
            Err(e) => Err(ProviderError::Unavailable(e.into())),
        }
    }

    /// How long until the rate limit counts anew: Recurly says when, not how long.
    fn until_reset(&self, answer: &Answer) -> Option<Duration> {
        let reset: i64 = answer.header("x-ratelimit-reset")?.trim().parse().ok()?;
        let left = reset.saturating_mul(1_000).saturating_sub(self.clock.now().as_millisecond());
        // A clock a little behind ours must not make us knock in a loop.
        Some(Duration::from_millis(u64::try_from(left).unwrap_or(0).max(200)))
    }

    /// Their errors in our words. A body that is no error of Recurly's came from something in between: its status decides.
    fn refusal(&self, answer: &Answer) -> ProviderError {
        let said = answer.json::<wire::ErrorBody>().ok().map(wire::ErrorBody::problem);
        let kind = said.as_ref().map_or("", |e| e.kind.as_str());
        let status = answer.status;
        match (status, kind) {
            (401, _) => ProviderError::Revoked,
            (403, _) => ProviderError::LacksRight(said.map(|e| e.message).unwrap_or_default()),
            (404, _) => ProviderError::NotFound("object"),
            (409, _) | (_, "simultaneous_request") => ProviderError::Busy { after: answer.retry_after() },
            (429, _) => ProviderError::Busy { after: self.until_reset(answer).or(answer.retry_after()) },
            (500.., _) => ProviderError::Unavailable(anyhow::anyhow!("status {status}")),
            (406, _) => unreadable("the pinned version of the API is not spoken there"),
            (400..=499, _) => match said {
                Some(e) => {
                    let declined = e.transaction_error.and_then(|t| t.decline_code.or(t.code));
                    ProviderError::Refused { slug: declined.unwrap_or(e.kind), message: e.message }
                }
                None => ProviderError::Unreadable(anyhow::anyhow!("status {status} without an error")),
            },
            _ => ProviderError::Unreadable(anyhow::anyhow!("status {status}")),
        }
    }
}

/// An id as a step of a path. One with other characters than Recurly's ids have names nothing, least of all another path.
pub fn plain(id: &str) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    Some(id).filter(|id| !id.is_empty() && id.bytes().all(plain))
}

/// An account: by its id, or by its code (`code-ada@example.com`), which may hold more signs than ids do.
pub fn account(id: &ExternalId) -> Option<String> {
    match id.as_str().strip_prefix("code-") {
        None => plain(id.as_str()).map(str::to_owned),
        Some("") => None,
        Some(code) => Some(format!("code-{}", encoded(code))),
    }
}

/// A text as a step of a path.
pub fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut path, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'~') {
            path.push(char::from(b));
        } else {
            write!(path, "%{b:02X}").ok();
        }
        path
    })
}

pub fn unreadable(text: &'static str) -> ProviderError {
    ProviderError::Unreadable(anyhow::anyhow!(text))
}

/// Recurly says itself what to repeat when a key is in use; else: another change under way, and its own failures. What is
/// over the limit waits for its reset, which `Client::send` sees to.
fn worth_repeating(status: u16, headers: &HeaderMap) -> bool {
    match headers.get("recurly-should-retry").and_then(|v| v.to_str().ok()) {
        Some(said) => said.eq_ignore_ascii_case("true"),
        None => status == 409 || status >= 500,
    }
}

/// What an answer says about the interface itself.
fn noted(answer: &Answer) -> Result<(), ProviderError> {
    if answer.header("recurly-version").is_some_and(|said| said != format!("recurly.{VERSION}")) {
        return Err(unreadable("an answer of another version of the API"));
    }
    if answer.header("recurly-deprecated").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        let sunset = answer.header("recurly-sunset-date").unwrap_or("an unknown day");
        metrics::counter!("provider_deprecated_total", "provider" => "recurly").increment(1);
        tracing::warn!("recurly answers {VERSION} only until {sunset}");
    }
    Ok(())
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    // A JSON error quotes what it could not read only by its place, so no personal data gets into the log.
    answer.json().map_err(|e| ProviderError::Unreadable(e.into()))
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
