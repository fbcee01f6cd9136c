//! Calls to Chargebee's API: forms out, JSON in, and one table from their errors to ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connect::http::{Answer, Call, Http, HttpError};
use connect::pace::Pace;
use kit::{ExposeSecret, SecretString};
use reqwest::Method;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::wire;
use crate::providers::{ExternalId, IdempotencyKey, ProviderError, Receipt};

/// The parameters of a write. Lists of objects go by columns, the index last: `subscription_items[item_price_id][0]`.
pub type Form = Vec<(String, String)>;

/// Which of Chargebee's two product catalogues a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Catalogue {
    /// 1.0: plans and add-ons.
    Plans,
    /// 2.0: items and their prices.
    Items,
}

pub struct Client {
    http: Http,
    base: String,
    key: SecretString,
    pace: Arc<Pace>,
    catalogue: OnceCell<Catalogue>,
    /// The item of each price we came across. A price never changes its item.
    items: Mutex<HashMap<String, String>>,
}

impl Client {
    pub fn new(http: Http, base: &str, key: SecretString, pace: Arc<Pace>) -> Self {
        let base = format!("{}/api/v2", base.trim_end_matches('/'));
        Self { http, base, key, pace, catalogue: OnceCell::new(), items: Mutex::default() }
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

    /// A write. There is none without a key: Chargebee then does it once, however often it is sent.
    pub async fn post(
        &self,
        operation: &'static str,
        path: &str,
        form: &[(String, String)],
        key: &IdempotencyKey,
    ) -> Result<(wire::Wrapped, Receipt), ProviderError> {
        let call = self.call(operation, Method::POST, path).form(form);
        let answer = checked(call.keyed("chargebee-idempotency-key", key.as_str()).send().await)?;
        let receipt = Receipt {
            request_id: answer.header("x-request-id").map(str::to_owned),
            replayed: answer.header("chargebee-idempotency-replayed") == Some("true"),
            made: None,
        };
        Ok((read(&answer)?, receipt))
    }

    fn call(&self, operation: &'static str, method: Method, path: &str) -> Call {
        let url = format!("{}{path}", self.base);
        // The key is the user, and there is no password.
        self.http
            .call("chargebee", operation, method, &url)
            .basic(self.key.expose_secret(), &"".into())
            .paced(&self.pace)
    }

    /// Which catalogue the site has. Asked once.
    pub async fn catalogue(&self) -> Result<Catalogue, ProviderError> {
        self.catalogue.get_or_try_init(|| self.ask_catalogue()).await.copied()
    }

    /// A site with plans refuses to speak of item prices.
    async fn ask_catalogue(&self) -> Result<Catalogue, ProviderError> {
        let one = [("limit", "1")];
        match self.get::<wire::List>("item_price.list", "/item_prices", &one).await {
            Ok(_) => Ok(Catalogue::Items),
            Err(ProviderError::Refused { .. } | ProviderError::NotFound(_)) => {
                self.get::<wire::List>("plan.list", "/plans", &one).await.map(|_| Catalogue::Plans)
            }
            Err(e) => Err(e),
        }
    }

    /// The item a price belongs to; the price's own name where Chargebee does not show it.
    pub async fn item_of(&self, price: &str) -> Result<String, ProviderError> {
        let known = self.items.lock().unwrap_or_else(PoisonError::into_inner).get(price).cloned();
        if let Some(item) = known {
            return Ok(item);
        }
        let id = ExternalId::new(price);
        let Some(step) = step(&id) else { return Ok(price.to_owned()) };
        let path = format!("/item_prices/{step}");
        let item = match self.get::<wire::Wrapped>("item_price.read", &path, &[]).await {
            Ok(answer) => answer.item_price.and_then(|p| p.item_id).unwrap_or_else(|| price.to_owned()),
            Err(ProviderError::NotFound(_)) => price.to_owned(),
            Err(e) => return Err(e),
        };
        self.items.lock().unwrap_or_else(PoisonError::into_inner).insert(price.to_owned(), item.clone());
        Ok(item)
    }
}

/// An id as a step of a path. Chargebee lets companies choose ids, so more characters than usual may be in one; those
/// that could lead to another path are written as escapes, and what is only dots names nothing.
pub fn step(id: &ExternalId) -> Option<String> {
    let text = id.as_str();
    let leads_elsewhere = text.bytes().all(|b| b == b'.') || text.contains(['/', '\\']);
    let printable = text.chars().all(|c| !c.is_control());
    let escaped = |b: u8| match b {
        b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    (!leads_elsewhere && printable && text.len() <= 100).then(|| text.bytes().map(escaped).collect())
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

/// Their errors in our words: the status first, as something in between may have answered without a body of theirs.
fn refusal(answer: &Answer) -> ProviderError {
    let said = answer.json::<wire::ErrorBody>().ok();
    let code = said.as_ref().map_or("", |e| e.api_error_code.as_str());
    let refused = || match &said {
        None => ProviderError::Unreadable(anyhow::anyhow!("status {} without an error", answer.status)),
        Some(e) => {
            let slug = [&e.api_error_code, &e.kind].into_iter().find(|s| !s.is_empty());
            let slug = slug.cloned().unwrap_or_else(|| format!("status_{}", answer.status));
            let at = e.param.as_ref().map(|p| format!(" ({p})")).unwrap_or_default();
            ProviderError::Refused { slug, message: format!("{}{at}", e.message) }
        }
    };
    match answer.status {
        401 => ProviderError::Revoked,
        403 => ProviderError::LacksRight(said.map(|e| e.message).unwrap_or_default()),
        404 if code == "site_not_found" => ProviderError::Revoked,
        404 => ProviderError::NotFound("object"),
        // The object's state or a limit forbids it; any other conflict is with somebody who changes it now.
        409 if !matches!(
            code,
            "invalid_state_for_request" | "resource_limit_exhausted" | "request_blocked" | "duplicate_entry"
        ) =>
        {
            ProviderError::Busy { after: answer.retry_after() }
        }
        429 => ProviderError::Busy { after: answer.retry_after() },
        500.. => ProviderError::Unavailable(anyhow::anyhow!("status {}", answer.status)),
        _ => refused(),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderMap, RETRY_AFTER};

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }
    }

    fn error(kind: &str, code: &str) -> String {
        format!(r#"{{"type":"{kind}","api_error_code":"{code}","message":"no","param":"x"}}"#)
    }

    #[test]
    fn their_errors_in_our_words() {
        let invalid = |code| error("invalid_request", code);
        let rows: [(u16, String, &str); 15] = [
            (400, invalid("param_wrong_value"), "provider_refused"),
            (400, invalid("duplicate_entry"), "provider_refused"),
            (400, error("payment", "payment_processing_failed"), "provider_refused"),
            (402, error("payment", "payment_processing_failed"), "provider_refused"),
            (401, error("", "api_authentication_failed"), "provider_credentials_revoked"),
            (403, error("", "api_authorization_failed"), "provider_right_missing"),
            (404, error("", "site_not_found"), "provider_credentials_revoked"),
            (404, invalid("resource_not_found"), "not_at_provider"),
            (409, error("operation_failed", "invalid_state_for_request"), "provider_refused"),
            (409, error("operation_failed", "request_blocked"), "provider_refused"),
            (409, error("operation_failed", "something_else"), "provider_busy"),
            (429, error("", "api_request_limit_exceeded"), "provider_busy"),
            (500, error("operation_failed", "internal_error"), "provider_unavailable"),
            (503, "<html>Service unavailable</html>".into(), "provider_unavailable"),
            (302, String::new(), "provider_unreadable"),
        ];
        for (status, body, slug) in rows {
            assert_eq!(refusal(&answer(status, &body)).slug(), slug, "{status} {body}");
        }
    }

    #[test]
    fn how_long_to_wait_is_taken_from_the_answer() {
        let mut busy = answer(429, &error("", "api_request_limit_exceeded"));
        busy.headers.insert(RETRY_AFTER, "41".parse().unwrap());
        let after = Some(Duration::from_secs(41));
        assert!(matches!(refusal(&busy), ProviderError::Busy { after: got } if got == after));
    }

    #[test]
    fn an_id_leads_to_no_other_path() {
        let step = |id: &str| step(&ExternalId::new(id));
        for id in ["", ".", "..", "../customers", "a/../b", "a\\b", "a\nb"] {
            assert_eq!(step(id), None, "{id:?}");
        }
        assert_eq!(step("Fibre-EUR.Monthly").unwrap(), "Fibre-EUR.Monthly");
        assert_eq!(step("a b?c#d%2e").unwrap(), "a%20b%3Fc%23d%252e");
    }
}
