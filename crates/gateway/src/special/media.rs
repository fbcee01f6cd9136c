//! Pictures and documents of companies: taken in as forms, as other files are, and served to everybody at `/m/{hash}`. Here
//! because bytes are streamed both ways, and because browsers ask for parts of files and for what they already have.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use kit::caller::{Actor, Caller, Role};
use proto::content::media_service_client::MediaServiceClient;
use proto::content::open_media_response::Part;
use proto::content::upload_media_request::Part as Sent;
use proto::content::{MediaHead, MediaInfo, OpenMediaRequest, OpenMediaResponse, UploadMediaRequest};
use proto::edge::RateClass;

use super::only;
use super::upload::{Piece, wrong};
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::{address, around, conditional};

const ROUTE: &str = "/m/{hash}";
const DEADLINE: Duration = Duration::from_secs(30);
/// The bytes of a hash never change.
const FOREVER: &str = "public, max-age=31536000, immutable";

pub fn routes(edge: &Arc<Edge>) -> Router {
    let edge = edge.clone();
    let serve = move |request: Request| {
        let edge = edge.clone();
        around(ROUTE.to_owned(), request, move |request, id| async move { serve(&edge, request, id).await })
    };
    Router::new().route(ROUTE, only(ROUTE, "GET, HEAD", get(serve)))
}

/// Which part of a file a browser asks for. One range, of bytes; what cannot be read, or is several, is as if it were not
/// there, as RFC 9110 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    All,
    From(u64, Option<u64>),
    Suffix(u64),
}

fn asked(headers: &HeaderMap, tag: &str) -> Asked {
    let text = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::trim);
    // A part of what the browser has the rest of; only if it is of the same.
    if text(header::IF_RANGE).is_some_and(|known| known != tag) {
        return Asked::All;
    }
    let range = text(header::RANGE).and_then(|r| r.strip_prefix("bytes=")).and_then(|r| r.split_once('-'));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit()).then(|| t.parse::<u64>().ok()).flatten();
    match range.map(|(first, last)| (first.trim(), last.trim())) {
        Some(("", last)) => digits(last).map_or(Asked::All, Asked::Suffix),
        Some((first, "")) => digits(first).map_or(Asked::All, |first| Asked::From(first, None)),
        Some((first, last)) => match (digits(first), digits(last)) {
            (Some(first), Some(last)) if first <= last => Asked::From(first, Some(last)),
            _ => Asked::All,
        },
        None => Asked::All,
    }
}

async fn serve(edge: &Edge, request: Request, id: String) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    let hash = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let is_hash = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let from = address(&parts).map(|a| a.to_string());
    edge.rates.check(RateClass::Read, &from.clone().unwrap_or_default())?;
    if !is_hash {
        return Err(Problem::not_found());
    }
    let tag = format!("\"{hash}\"");
    let head = parts.method == Method::HEAD;
    // Whether it is still public is asked of who has it, too; a part is for who has not.
    let known = parts.headers.contains_key(header::IF_NONE_MATCH);
    let asked = if known { Asked::All } else { asked(&parts.headers, &tag) };
    let (first, last, suffix) = match asked {
        _ if head => (None, None, None),
        Asked::All => (None, None, None),
        Asked::From(first, last) => (Some(first), last, None),
        Asked::Suffix(last) => (None, None, Some(last)),
    };
    let caller = Caller {
        role: Role::Public,
        actor: Actor::new("public", ""),
        request_id: id,
        address: from,
        ..Caller::internal("gateway", None)
    };
    let upstream = edge.upstreams.get("content")?;
    let mut client = MediaServiceClient::new(upstream.channel());
    let query = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
    let look = query.into_iter().find(|(name, _)| name == "look").map(|(_, value)| value.into_owned());
    // What only some may see is not for caches.
    let public = look.is_none();
    let look = look.unwrap_or_default();
    let message = OpenMediaRequest { hash, head, first, last, suffix, look };
    let mut pieces = client.open_media(upstream.request(&caller, DEADLINE, message)?).await?.into_inner();
    let Some(OpenMediaResponse { part: Some(Part::Info(info)) }) = pieces.message().await? else {
        return Err(Problem::new(500, "internal", "something failed on our side"));
    };
    let whole = head || asked == Asked::All;
    let rest = pieces.map_ok(|piece| match piece.part {
        Some(Part::Chunk(bytes)) => bytes,
        _ => Bytes::new(),
    });
    let body = if head { Body::empty() } else { Body::from_stream(rest) };
    let mut response = answer(&info, whole, &tag, body);
    if !public {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(if known { conditional::settle(&parts, response) } else { response })
}

fn answer(info: &MediaInfo, whole: bool, tag: &str, body: Body) -> Response {
    let MediaInfo { content_type, size, offset, length, unsatisfiable, name } = info;
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let mut set = |name, text: String| {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(name, value);
        }
    };
    set(header::ETAG, tag.to_owned());
    set(header::ACCEPT_RANGES, "bytes".into());
    if *unsatisfiable {
        set(header::CONTENT_RANGE, format!("bytes */{size}"));
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        *response.body_mut() = Body::empty();
        return response;
    }
    set(header::CONTENT_TYPE, content_type.clone());
    // A document opens as a file, never as a page of ours.
    let kind = if content_type.starts_with("image/") { "inline" } else { "attachment" };
    set(header::CONTENT_DISPOSITION, disposition(kind, name));
    if whole {
        set(header::CONTENT_LENGTH, size.to_string());
    } else {
        set(header::CONTENT_LENGTH, length.to_string());
        set(header::CONTENT_RANGE, format!("bytes {offset}-{}/{size}", offset + length.saturating_sub(1)));
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    if !whole {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Under which name it is saved: the letters every browser reads, and the whole of it as RFC 8187 has it.
fn disposition(kind: &str, name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_ ".contains(c) { c } else { '_' }).collect();
    let whole = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{whole}")
}

impl Piece for UploadMediaRequest {
    type Head = MediaHead;

    fn set(head: &mut MediaHead, name: &str, text: String) -> Result<(), Problem> {
        match name {
            "name" => head.name = text.chars().take(200).collect(),
            "alt" => {
                let why = "must be a JSON object with default_locale and texts";
                let read = serde_json::from_str::<Alt>(&text).map_err(|_| wrong(name, "wrong_type", why))?;
                let Alt { default_locale, texts } = read;
                head.alt = Some(proto::common::LocalText { default_locale, texts });
            }
            _ => return Err(wrong(name, "unknown_field", "is not a part of this form")),
        }
        Ok(())
    }

    fn head(head: MediaHead, file_name: String, content_type: String) -> Self {
        let name = if head.name.is_empty() { file_name } else { head.name };
        Self { part: Some(Sent::Head(MediaHead { name, content_type, alt: head.alt })) }
    }

    fn chunk(bytes: Bytes) -> Self {
        Self { part: Some(Sent::Chunk(bytes)) }
    }

    fn scanning() -> Option<Self> {
        Some(Self { part: Some(Sent::Scanning(true)) })
    }

    fn rejected(why: &str) -> Option<Self> {
        Some(Self { part: Some(Sent::Rejected(why.to_owned())) })
    }

    fn end() -> Self {
        Self { part: Some(Sent::End(true)) }
    }
}

/// What is said in a picture's place, as the form has it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Alt {
    default_locale: String,
    texts: std::collections::HashMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_read_and_what_cannot_be_read_is_not_there() {
        let tag = "\"abc\"";
        let of = |range: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, range.parse().unwrap());
            asked(&headers, tag)
        };
        assert_eq!(of("bytes=0-99"), Asked::From(0, Some(99)));
        assert_eq!(of("bytes=5-"), Asked::From(5, None));
        assert_eq!(of("bytes=-7"), Asked::Suffix(7));
        for all in ["bytes=9-3", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "lines=0-1", "bytes=+1-2", ""] {
            assert_eq!(of(all), Asked::All, "{all}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"other\""));
        assert_eq!(asked(&headers, tag), Asked::All, "the rest would be of another file");
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"abc\""));
        assert_eq!(asked(&headers, tag), Asked::From(0, Some(1)));
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        let said = disposition("attachment", "a\"; x=\r\nb ü.pdf");
        assert_eq!(
            said,
            "attachment; filename=\"a__ x___b _.pdf\"; filename*=UTF-8''a%22%3B%20x%3D%0D%0Ab%20%C3%BC%2Epdf"
        );
    }
}
