//! Errors as the public reads them: RFC 9457 `application/problem+json` with a stable `code`.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kit::error::{Code, FieldError, said};
use serde::Serialize;

/// What whoever is not known is told, whatever the reason.
pub const UNAUTHENTICATED: &str = "sign in, or send a valid key or token";

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub status: u16,
    pub code: String,
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub retry_after: Option<Duration>,
    /// For 405: what is allowed.
    pub allow: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    pub fn new(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            allow: None,
        }
    }

    /// The request cannot be read at all.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(400, code, detail)
    }

    /// Fields of the request are wrong.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields are wrong", many.len()),
        };
        Self { errors, ..Self::new(422, "invalid_request", detail) }
    }

    pub fn not_found() -> Self {
        Self::new(404, "not_found", "there is nothing here")
    }

    pub fn unauthenticated() -> Self {
        Self::new(401, "unauthenticated", UNAUTHENTICATED)
    }

    pub fn forbidden(code: &str, detail: impl Into<String>) -> Self {
        Self::new(403, code, detail)
    }

    /// The problem as an answer; `request_id` so that the log can be found from it.
    pub fn respond(&self, request_id: &str) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = Body {
            kind: format!("https://retention-stack.dev/problems/{}", self.code),
            title: status.canonical_reason().unwrap_or("Error"),
            status: self.status,
            detail: &self.detail,
            code: &self.code,
            request_id,
            errors: &self.errors,
        };
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut answer = (status, [(header::CONTENT_TYPE, "application/problem+json")], json).into_response();
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(after) = self.retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if let Some(allow) = self.allow.as_ref().and_then(|a| HeaderValue::from_str(a).ok()) {
            answer.headers_mut().insert(header::ALLOW, allow);
        }
        if self.status == 401 {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        answer
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        let said = said(&status);
        // What a transport says of hosts and connections is for the log.
        let detail = if said.code.is_public() { said.message } else { String::from(our_fault(said.code)) };
        let slug = if said.code.is_public() { said.slug } else { kit::error::slug_of(said.code).to_owned() };
        let mut problem = Self { errors: said.fields, ..Self::new(said.code.http(), &slug, detail) };
        problem.retry_after = said.retry_after.or_else(|| {
            matches!(said.code, Code::Unavailable | Code::Limited).then_some(Duration::from_secs(1))
        });
        problem
    }
}

impl From<kit::Fault> for Problem {
    fn from(fault: kit::Fault) -> Self {
        kit::error::status(&fault).into()
    }
}

fn our_fault(code: Code) -> &'static str {
    match code {
        Code::Unavailable => "a part of the system does not answer; try again shortly",
        Code::Deadline => "a part of the system did not answer in time; try again shortly",
        _ => "something failed on our side",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_transport_says_stays_inside() {
        let problem = Problem::from(tonic::Status::unavailable("tcp connect error: 10.0.0.7:7402"));
        assert_eq!((problem.status, problem.code.as_str()), (503, "unavailable"));
        assert!(!problem.detail.contains("10.0.0.7"));
    }

    #[test]
    fn a_slug_and_fields_reach_the_public() {
        let fault = kit::Fault::field("terms.percent", "uint32.lte", "must be at most 100");
        let problem = Problem::from(kit::error::status(&fault));
        assert_eq!((problem.status, problem.errors.len()), (422, 1));
    }
}
