//! The public API, as the loader calls it: JSON in and out, errors with what the problem says, patience with `429`
//! and `503`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Method, Response};
use serde_json::Value;

/// A caller of the API with one credential.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    headers: Vec<(&'static str, String)>,
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
        let mut tries = 0;
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
            if !busy || tries == 40 {
                return read(answer, &format!("{method} {path}")).await;
            }
            tries += 1;
            let header = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
            let seconds = header.and_then(|v| v.parse::<u64>().ok());
            tokio::time::sleep(seconds.map_or(Duration::from_millis(250), Duration::from_secs)).await;
        }
    }

    /// Uploads a file as multipart, with text fields before it.
    pub async fn upload(&self, path: &str, fields: &[(&str, &str)], name: &str, kind: &str, file: Vec<u8>) -> Result<Value> {
        let mut form = reqwest::multipart::Form::new();
        for (field, value) in fields {
            form = form.text((*field).to_owned(), (*value).to_owned());
        }
        form = form.part("file", reqwest::multipart::Part::bytes(file).file_name(name.to_owned()).mime_str(kind)?);
        let mut request = self.http.post(format!("{}{path}", self.base)).multipart(form);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        read(request.send().await?, &format!("POST {path}")).await
    }

    /// Asks until `done` says so.
    pub async fn until(&self, path: &str, patience: Duration, done: impl Fn(&Value) -> Option<bool>) -> Result<Value> {
        let end = tokio::time::Instant::now() + patience;
        loop {
            let answer = self.get(path).await?;
            match done(&answer) {
                Some(true) => return Ok(answer),
                Some(false) => bail!("{path} ended badly: {answer}"),
                None if tokio::time::Instant::now() > end => bail!("{path} was not done after {patience:?}: {answer}"),
                None => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }
}

async fn read(answer: Response, what: &str) -> Result<Value> {
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{what} answered {status}: {text}");
    }
    if text.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_str(&text)?) }
}

/// A text field of an answer.
pub fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("the answer has no {pointer}: {value}"))
}
