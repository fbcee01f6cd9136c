//! The public API, as the loader calls it: JSON in and out, errors with what the problem says, patience with `429`
//! and `503`.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, Response};
use serde_json::Value;

/// How long a call is made again while the other side is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A caller of the API with one credential.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    headers: Vec<(&'static str, String)>,
}

/// What the API refused.
#[derive(Debug)]
pub struct Refused {
    what: String,
    pub status: u16,
    /// The problem's stable slug.
    pub code: String,
    text: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was answered {}: {}", self.what, self.status, self.text)
    }
}

impl std::error::Error for Refused {}

/// Whether a call failed for this reason.
pub fn is_refused(e: &anyhow::Error, code: &str) -> bool {
    e.downcast_ref::<Refused>().is_some_and(|r| r.code == code)
}

impl Api {
    pub fn new(base: &str) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(120)).build()?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), headers: Vec::new() })
    }

    /// The same with a credential.
    pub fn with_token(&self, token: &str) -> Self {
        self.with_header("authorization", format!("Bearer {token}"))
    }

    /// The same with one more header.
    pub fn with_header(&self, name: &'static str, value: String) -> Self {
        let mut api = self.clone();
        api.headers.retain(|(n, _)| *n != name);
        api.headers.push((name, value));
        api
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.call("GET", path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.call("POST", path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Result<Value> {
        self.call("PUT", path, Some(body)).await
    }

    /// Any call; an answer without a body is null.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let method = Method::from_bytes(method.as_bytes())?;
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
            for (name, value) in &self.headers {
                request = request.header(*name, value);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.send().await.with_context(|| format!("{method} {path} was not answered"))?;
            let busy = matches!(answer.status().as_u16(), 429 | 503);
            if !busy || tokio::time::Instant::now() > end {
                return read(answer, &format!("{method} {path}")).await;
            }
            let header = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
            let seconds = header.and_then(|v| v.parse::<u64>().ok());
            tokio::time::sleep(seconds.map_or(Duration::from_millis(250), Duration::from_secs)).await;
        }
    }

    /// An answer that is read as it comes.
    pub async fn open(&self, path: &str) -> Result<reqwest::Response> {
        let mut request = self.http.get(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        Ok(request.send().await?.error_for_status()?)
    }

    /// Every item of a list, page by page.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let and = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{and}limit=200&cursor={cursor}")).await?;
            items.extend(page.get("items").and_then(Value::as_array).into_iter().flatten().cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => cursor = next.to_owned(),
                _ => return Ok(items),
            }
        }
    }

    /// Uploads a CSV file as multipart, with text fields before it.
    pub async fn upload(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        name: &str,
        file: Vec<u8>,
    ) -> Result<Value> {
        self.upload_as(path, fields, name, "text/csv", file).await
    }

    /// Uploads a file of any type as multipart, with text fields before it.
    pub async fn upload_as(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        name: &str,
        kind: &str,
        file: Vec<u8>,
    ) -> Result<Value> {
        let mut form = reqwest::multipart::Form::new();
        for (field, value) in fields {
            form = form.text((*field).to_owned(), (*value).to_owned());
        }
        let part = reqwest::multipart::Part::bytes(file).file_name(name.to_owned()).mime_str(kind)?;
        let mut request = self.http.post(format!("{}{path}", self.base)).multipart(form.part("file", part));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        read(request.send().await?, &format!("POST {path}")).await
    }
}

async fn read(answer: Response, what: &str) -> Result<Value> {
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        let problem: Value = serde_json::from_str(&text).unwrap_or_default();
        let code = problem.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
        bail!(Refused { what: what.to_owned(), status: status.as_u16(), code, text });
    }
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
}

/// A text field of an answer.
pub fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("the answer has no {pointer}: {value}"))
}

/// A number of an answer; 0 where there is none.
pub fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}
