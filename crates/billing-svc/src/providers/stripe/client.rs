//! Calls to Stripe's API: version pinned, forms out, JSON in, and one table from their errors to ours.

use std::sync::Arc;
use std::time::Duration;

use connect::http::{Answer, Call, Http, HttpError};
use connect::pace::Pace;
use kit::SecretString;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

use super::wire;
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// The version whose shapes `wire.rs` describes. Without it the account's default would decide.
pub const VERSION: &str = "2026-10-28.endive";
pub const BASE: &str = "https://api.stripe.com";

/// The parameters of a write, in Stripe's `a[b]` form.
pub type Form = Vec<(String, String)>;

#[derive(Clone)]
pub struct Client {
    http: Http,
    base: String,
    key: SecretString,
    account: Option<String>,
    pace: Arc<Pace>,
}

impl Client {
    pub fn new(
        http: Http,
        base: Option<&str>,
        key: SecretString,
        account: Option<String>,
        pace: Arc<Pace>,
    ) -> Self {
        Self { http, base: base.unwrap_or(BASE).trim_end_matches('/').to_owned(), key, account, pace }
    }

    pub async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ProviderError> {
        let answer = self.call(operation, Method::GET, path).query(query).send().await;
        read(&checked(answer)?)
    }

    /// A write. There is none without a key: Stripe then does it once, however often it is sent.
    pub async fn post<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        form: &[(String, String)],
        key: &IdempotencyKey,
    ) -> Result<(T, Receipt), ProviderError> {
        let call = self.call(operation, Method::POST, path).form(form).idempotency_key(key.as_str());
        let answer = checked(call.send().await)?;
        let receipt = Receipt {
            request_id: answer.header("request-id").map(str::to_owned),
            replayed: answer.header("idempotent-replayed") == Some("true"),
            made: None,
        };
        Ok((read(&answer)?, receipt))
    }

    /// An end. Stripe asks for no key there; it is sent all the same, for its request log.
    pub async fn delete(
        &self,
        operation: &'static str,
        path: &str,
        form: &[(String, String)],
        key: &IdempotencyKey,
    ) -> Result<Receipt, ProviderError> {
        let call = self.call(operation, Method::DELETE, path).form(form).idempotency_key(key.as_str());
        let answer = checked(call.send().await)?;
        let request_id = answer.header("request-id").map(str::to_owned);
        Ok(Receipt { request_id, ..Receipt::default() })
    }

    fn call(&self, operation: &'static str, method: Method, path: &str) -> Call {
        let call = self
            .http
            .call("stripe", operation, method, &format!("{}{path}", self.base))
            .bearer(&self.key)
            .header("stripe-version", VERSION)
            .repeat_when(worth_repeating)
            .paced(&self.pace);
        match &self.account {
            Some(account) => call.header("stripe-account", account),
            None => call,
        }
    }
}

/// An id as a step of a path. One with other characters than Stripe's ids have names nothing, least of all another path.
pub fn plain(id: &ExternalId) -> Option<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    Some(id.as_str()).filter(|id| !id.is_empty() && id.bytes().all(plain))
}

/// Stripe says itself what to repeat; where it does not: conflicts, limits and its own failures.
fn worth_repeating(status: u16, headers: &HeaderMap) -> bool {
    match headers.get("stripe-should-retry").and_then(|v| v.to_str().ok()) {
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status, 409 | 424 | 429) || status >= 500,
    }
}

fn checked(answer: Result<Answer, HttpError>) -> Result<Answer, ProviderError> {
    match answer {
        Ok(answer) if answer.is_success() => Ok(answer),
        Ok(answer) => Err(refusal(&answer)),
        Err(HttpError::CircuitOpen) => Err(ProviderError::Busy { after: Some(Duration::from_secs(15)) }),
        Err(HttpError::Held { after }) => Err(ProviderError::Busy { after: Some(after) }),
        Err(e @ HttpError::TooLarge) => Err(ProviderError::Unreadable(e.into())),
        Err(e) => Err(ProviderError::Unavailable(e.into())),
    }
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    // A JSON error quotes what it could not read only by its place, so no personal data gets into the log.
    answer.json().map_err(|e| ProviderError::Unreadable(e.into()))
}

/// Their errors in our words. A body that is no error of Stripe's came from something in between: its status decides.
fn refusal(answer: &Answer) -> ProviderError {
    let said = answer.json::<wire::ErrorBody>().ok().map(|body| body.error);
    let kind = said.as_ref().map_or("", |e| e.kind.as_str());
    let refused = || match &said {
        None => ProviderError::Unreadable(anyhow::anyhow!("status {} without an error", answer.status)),
        Some(e) => ProviderError::Refused {
            slug: e.decline_code.clone().or(e.code.clone()).unwrap_or_else(|| e.kind.clone()),
            message: e.message.clone(),
        },
    };
    match answer.status {
        400 if kind == "idempotency_error" => ProviderError::KeyReused,
        400 | 402 => refused(),
        401 => ProviderError::Revoked,
        403 => ProviderError::LacksRight(said.map(|e| e.message).unwrap_or_default()),
        404 => ProviderError::NotFound("object"),
        409 | 429 => ProviderError::Busy { after: answer.retry_after() },
        424 | 500.. => ProviderError::Unavailable(anyhow::anyhow!("status {}", answer.status)),
        _ => refused(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn error(kind: &str, code: &str) -> String {
        format!(r#"{{"error":{{"type":"{kind}","code":"{code}","message":"no"}}}}"#)
    }

    #[test]
    fn their_errors_in_our_words() {
        let invalid = |code| error("invalid_request_error", code);
        let rows: [(u16, String, &str); 11] = [
            (400, invalid("coupon_expired"), "provider_refused"),
            (400, error("idempotency_error", ""), "idempotency_key_reused"),
            (401, invalid(""), "provider_credentials_revoked"),
            (402, error("card_error", "card_declined"), "provider_refused"),
            (403, invalid(""), "provider_right_missing"),
            (404, invalid("resource_missing"), "not_at_provider"),
            (409, invalid(""), "provider_busy"),
            (424, error("api_error", ""), "provider_unavailable"),
            (429, invalid("rate_limit"), "provider_busy"),
            (500, error("api_error", ""), "provider_unavailable"),
            (502, "<html>Bad gateway</html>".into(), "provider_unavailable"),
        ];
        for (status, body, slug) in rows {
            assert_eq!(refusal(&answer(status, &body)).slug(), slug, "{status} {body}");
        }
        assert_eq!(refusal(&answer(400, "<html>")).slug(), "provider_unreadable");
    }

    #[test]
    fn stripe_s_own_word_on_repeating_wins() {
        let mut headers = HeaderMap::new();
        assert!(worth_repeating(409, &headers) && worth_repeating(500, &headers));
        assert!(!worth_repeating(400, &headers) && !worth_repeating(402, &headers));
        headers.insert("stripe-should-retry", "false".parse().unwrap());
        assert!(!worth_repeating(500, &headers));
        headers.insert("stripe-should-retry", "true".parse().unwrap());
        assert!(worth_repeating(400, &headers));
    }
}
