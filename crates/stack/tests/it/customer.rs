//! A customer in the cancel flow as their browser sees it, and what has to be true afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::company::Company;

/// Longer than any deadline of ours: what is not answered by then never is.
const PATIENCE: Duration = Duration::from_secs(20);

/// A customer at a screen. Knows no retries: what fails is seen and pressed again by whoever drives it.
pub struct Customer<'a> {
    company: &'a Company,
    http: reqwest::Client,
    gateway: String,
    pub external_id: String,
    pub stays: bool,
    /// The visit's address, once it began.
    pub session: String,
    token: String,
}

impl<'a> Customer<'a> {
    pub fn new(company: &'a Company, gateway: &str, external_id: &str, stays: bool) -> Self {
        Self {
            company,
            http: reqwest::Client::builder().timeout(PATIENCE).build().unwrap(),
            gateway: gateway.to_owned(),
            external_id: external_id.to_owned(),
            stays,
            session: String::new(),
            token: String::new(),
        }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Option<Value> {
        let request = self.http.request(method, format!("{}{path}", self.gateway)).bearer_auth(token);
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = request.send().await.ok()?;
        if answer.status().is_success() { answer.json().await.ok() } else { None }
    }

    /// A link of the company's server.
    pub async fn link(&self) -> Option<String> {
        let key = self.company.noted["api_key_live"].as_str()?.to_owned();
        let wanted = json!({ "customer": self.external_id });
        let link = self.call(Method::POST, "/v1/flow/tokens", &key, wanted).await?;
        Some(link["token"].as_str()?.to_owned())
    }

    /// A new link, and in; also back in, after something broke.
    pub async fn enter(&mut self) -> Option<()> {
        let link = self.link().await?;
        self.follow(&link).await
    }

    /// In by a link.
    pub async fn follow(&mut self, link: &str) -> Option<()> {
        let start = json!({ "token": link });
        let started =
            self.http.post(format!("{}/v1/flow/sessions", self.gateway)).json(&start).send().await.ok()?;
        let screen: Value =
            if started.status().is_success() { started.json().await.ok()? } else { return None };
        self.session = format!("/v1/flow/sessions/{}", screen["session_id"].as_str()?);
        self.token = screen["session_token"].as_str()?.to_owned();
        Some(())
    }

    pub async fn look(&self) -> Option<Value> {
        self.call(Method::GET, &self.session, &self.token, Value::Null).await
    }

    /// Does what this customer does at this screen.
    pub async fn press(&self, screen: &Value) -> Option<Value> {
        let path = match screen["offer"]["id"].as_str() {
            _ if !self.stays => format!("{}/cancel", self.session),
            Some(offer) => format!("{}/offers/{offer}/accept", self.session),
            None if asks(screen) => format!("{}/answers", self.session),
            // No offer could be made: kept all the same.
            None => format!("{}/close", self.session),
        };
        let body = if path.ends_with("/answers") {
            json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] })
        } else {
            json!({})
        };
        self.call(Method::POST, &path, &self.token, body).await
    }
}

fn asks(screen: &Value) -> bool {
    let all = |of: &Value, what: &str| of[what].as_array().cloned().unwrap_or_default();
    let cards = all(screen, "places").into_iter().flat_map(|p| all(&p, "cards"));
    cards.flat_map(|c| all(&c, "pieces")).any(|e| e["kind"] == "question")
}

pub fn is_over(screen: &Value) -> bool {
    matches!(screen["state"].as_str(), Some("saved" | "canceled" | "abandoned"))
}

/// The company's own ids of its active customers.
pub async fn active(company: &Company) -> Vec<String> {
    let all = company.machine.all("/v1/subscriptions?state=active").await.unwrap();
    let own = all.iter().filter_map(|s| s["external_id"].as_str()?.strip_prefix("sub_"));
    own.map(str::to_owned).collect()
}

/// Nobody has more or less at the provider than their visit ended with.
pub async fn at_the_provider(company: &Company, ends: &BTreeMap<String, String>) {
    for (customer, state) in ends {
        let path = format!("/v1/billing/simulated/subscriptions/sub_{customer}");
        let at_provider = company.machine.get(&path).await.unwrap();
        let discounts = at_provider["discounts"].as_array().unwrap().len();
        let right = match state.as_str() {
            "canceled" => ("non_renewing", 0),
            "saved" => ("active", 1),
            _ => ("active", 0),
        };
        assert_eq!((at_provider["state"].as_str().unwrap(), discounts), right, "{state}: {at_provider}");
    }
}
