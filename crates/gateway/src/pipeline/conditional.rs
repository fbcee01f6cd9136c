//! ETag and If-Match, which say in HTTP what `version` says in messages: a reply with a version has the tag `"v<version>"`,
//! a reader who has it already gets 304, and a writer may send it instead of the field.

use axum::body::Body as AxumBody;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, Value};

use crate::edge::descriptors::Operation;
use crate::edge::problem::Problem;

const FIELD: &str = "version";
/// Replies that show more than their version counts: a tag would call old what is new.
const COMPOSED: [&str; 2] = ["retention.identity.v1.Onboarding", "retention.content.v1.Media"];

/// The number of the field that is a message's version, if it has one.
pub fn number(message: &MessageDescriptor) -> Option<u32> {
    let field = message.get_field_by_name(FIELD).filter(|_| !COMPOSED.contains(&message.full_name()))?;
    (field.kind() == Kind::Int64 && !field.is_list()).then(|| field.number())
}

/// The version in an encoded message, found without reading the rest of it.
pub fn version(op: &Operation, mut bytes: &[u8]) -> Option<i64> {
    let wanted = op.version?;
    let mut found = None;
    while !bytes.is_empty() {
        let (tag, kind) = decode_key(&mut bytes).ok()?;
        if tag == wanted && kind == WireType::Varint {
            found = Some(decode_varint(&mut bytes).ok()?.cast_signed());
        } else {
            skip_field(kind, tag, &mut bytes, DecodeContext::default()).ok()?;
        }
    }
    found.filter(|version| *version > 0)
}

/// Puts the tag on an answer that has none of its service's.
pub fn tag(version: Option<i64>, headers: &mut HeaderMap) {
    if let Some(version) = version
        && let Ok(value) = HeaderValue::from_str(&format!("\"v{version}\""))
    {
        headers.entry(header::ETAG).or_insert(value);
    }
}

/// Reads `If-Match` into the request's `version`. Says whether there was one.
pub fn expect(op: &Operation, headers: &HeaderMap, message: &mut DynamicMessage) -> Result<bool, Problem> {
    let mut given = headers.get_all(header::IF_MATCH).into_iter();
    let Some(value) = given.next().filter(|_| op.method != Method::GET) else { return Ok(false) };
    let field = op.input.get_field_by_name(FIELD).filter(|f| f.kind() == Kind::Int64 && !f.is_list());
    let Some(field) = field else {
        let text = "this operation has no version to compare If-Match with";
        return Err(Problem::bad_request("if_match_not_supported", text));
    };
    let expected = value.to_str().ok().filter(|_| given.next().is_none()).and_then(parse);
    let Some(expected) = expected else {
        let text = "If-Match is the ETag of an answer, such as \"v3\"";
        return Err(Problem::bad_request("invalid_if_match", text));
    };
    match message.get_field(&field).as_i64() {
        // What the body says and what the header says cannot both hold.
        Some(said) if message.has_field(&field) && said != expected => Err(mismatch()),
        _ => {
            message.set_field(&field, Value::I64(expected));
            Ok(true)
        }
    }
}

/// `"v3"`, and nothing that only looks like it: weak tags never match where something is changed.
fn parse(text: &str) -> Option<i64> {
    let digits = text.trim().strip_prefix("\"v")?.strip_suffix('"')?;
    let plain = !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// A version that is old is a precondition that failed, where it was given as one.
pub fn stale(problem: Problem, was_given: bool) -> Problem {
    if was_given && problem.code == "stale_version" { mismatch() } else { problem }
}

fn mismatch() -> Problem {
    Problem::new(412, "etag_mismatch", "it was changed since; read it again and send the new ETag")
}

/// The answer, or 304 for a reader who has it.
pub fn settle(parts: &Parts, response: Response) -> Response {
    if !matches!(parts.method, Method::GET | Method::HEAD) || response.status() != StatusCode::OK {
        return response;
    }
    let known = parts.headers.get_all(header::IF_NONE_MATCH);
    let has = response.headers().get(header::ETAG).is_some_and(|tag| {
        known.into_iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(|one| {
            let one = one.trim();
            one == "*" || one.strip_prefix("W/").unwrap_or(one).as_bytes() == tag.as_bytes()
        })
    });
    if !has {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(header::CONTENT_TYPE);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, AxumBody::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_is_written() {
        let mut headers = HeaderMap::new();
        tag(Some(12), &mut headers);
        assert_eq!(headers[header::ETAG], "\"v12\"");
        assert_eq!(parse("\"v12\""), Some(12));
        for wrong in [
            "v12",
            "W/\"v12\"",
            "\"v12\", \"v13\"",
            "*",
            "\"12\"",
            "\"v\"",
            "\"v-1\"",
            "\"v+1\"",
            "\"v01\"",
            "",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
