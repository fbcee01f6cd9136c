//! Browsers: sessions in cookies that no script can read, and the proofs that a request came from our own pages. A
//! browser that says `Retention-Session: cookie` at sign-in gets its tokens as cookies and, to be said back in
//! `X-CSRF-Token`, a signed value bound to the session. Everybody else sends a bearer token and is not looked at here.

use aws_lc_rs::{constant_time, hmac};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use kit::ExposeSecret;
use kit::config::Common;
use proto::edge::Auth;
use proto::identity::SessionGrant;

use crate::Edge;
use crate::edge::descriptors::Operation;
use crate::edge::problem::Problem;

/// `cookie`: the tokens of this sign-in shall be cookies.
pub const SESSION: &str = "retention-session";
/// The value bound to the session that unsafe requests repeat.
pub const CSRF: &str = "x-csrf-token";

const ACCESS_COOKIE: &str = "__Host-session";
const REFRESH_COOKIE: &str = "__Secure-refresh";
const CSRF_COOKIE: &str = "__Host-csrf";
const REFRESH_PATH: &str = "/v1/sessions/refresh";
const ROOM: &str = "retention.identity.v1.UserSessionService";
/// As long as a session may idle; identity decides, this only lets browsers forget.
const REFRESH_SECONDS: u32 = 12 * 3600;

/// Makes and checks the values bound to sessions.
pub struct Csrf(hmac::Key);

impl Csrf {
    /// Derived from the gateway's own secret, which its replicas share.
    pub fn new(common: &Common) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, common.inner_key.expose_secret().trim().as_bytes());
        let derived = hmac::sign(&secret, b"gateway/csrf");
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    fn make(&self, session: &str) -> String {
        let random = kit::id::new("csrf");
        format!("{random}.{}", self.sign(session, &random))
    }

    fn fits(&self, session: &str, value: &str) -> bool {
        let Some((random, signature)) = value.split_once('.') else { return false };
        let right = self.sign(session, random);
        constant_time::verify_slices_are_equal(right.as_bytes(), signature.as_bytes()).is_ok()
    }

    fn sign(&self, session: &str, random: &str) -> String {
        hex::encode(hmac::sign(&self.0, format!("{session}\n{random}").as_bytes()))
    }
}

/// A cookie of the request.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|v| v.to_str().ok());
    let mut pairs = all.flat_map(|v| v.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(n, _)| *n == name).map(|(_, value)| value)
}

/// The access token of a browser, where the operation is one for people.
pub fn access_token<'a>(op: &Operation, headers: &'a HeaderMap) -> Option<&'a str> {
    (op.auth() == Auth::User).then(|| cookie(headers, ACCESS_COOKIE)).flatten()
}

/// Refuses what another site may have made a browser send: every request that changes something shows that it comes from
/// our own pages, and knows the value bound to its session.
pub fn check(edge: &Edge, parts: &Parts, session: &str) -> Result<(), Problem> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    own_page(edge, parts)?;
    let said = parts.headers.get(CSRF).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if edge.csrf.fits(session, said) {
        Ok(())
    } else {
        Err(Problem::forbidden("csrf_token_invalid", "send the session's csrf_token in X-CSRF-Token"))
    }
}

/// Whether the page that sent the request is ours: by `Origin`, and where a browser sends none, by what it says itself.
fn own_page(edge: &Edge, parts: &Parts) -> Result<(), Problem> {
    let ours = match origin(parts) {
        Some(origin) => is_ours(edge, parts, origin),
        None => parts.headers.get("sec-fetch-site").is_some_and(|v| v.as_bytes() == b"same-origin"),
    };
    if ours { Ok(()) } else { Err(foreign()) }
}

/// The origin of the page a request comes from.
pub fn origin(parts: &Parts) -> Option<&str> {
    parts.headers.get(header::ORIGIN).and_then(|v| v.to_str().ok())
}

/// Whether an origin is the one we are reached at, or one of the configured ones.
pub fn is_ours(edge: &Edge, parts: &Parts, origin: &str) -> bool {
    let host = parts.headers.get(header::HOST).and_then(|v| v.to_str().ok());
    let host = host.or_else(|| parts.uri.authority().map(|a| a.as_str()));
    let same = host.is_some() && origin.split_once("://").map(|(_, place)| place) == host;
    same || edge.config.allowed_origins.iter().any(|o| o == origin)
}

/// The refusal of a page that is not ours.
pub fn foreign() -> Problem {
    Problem::forbidden("origin_not_allowed", "pages of this origin may not do this")
}

/// What a request of a browser says that stands in its cookies and not in its body.
pub struct Browser {
    refresh_token: Option<String>,
}

/// Whether a request about sessions is a browser's, checked like one. None for bearer tokens and other operations.
pub fn browser(edge: &Edge, op: &Operation, parts: &Parts) -> Result<Option<Browser>, Problem> {
    if op.rpc.parent_service().full_name() != ROOM {
        return Ok(None);
    }
    let asked = parts.headers.get(SESSION).is_some_and(|v| v.as_bytes() == b"cookie");
    let by_cookie =
        !parts.headers.contains_key(header::AUTHORIZATION) && access_token(op, &parts.headers).is_some();
    if op.rpc.name() == "RefreshSession"
        && let Some((session, token)) = cookie(&parts.headers, REFRESH_COOKIE).and_then(|v| v.split_once('~'))
    {
        check(edge, parts, session)?;
        return Ok(Some(Browser { refresh_token: Some(token.to_owned()) }));
    }
    if asked {
        // Nobody is signed in to somebody else's account by another site.
        own_page(edge, parts)?;
    }
    Ok((asked || by_cookie).then_some(Browser { refresh_token: None }))
}

impl Browser {
    /// Puts the refresh token where the message has none.
    pub fn fill(&self, message: &mut prost_reflect::DynamicMessage) {
        if let Some(token) = &self.refresh_token
            && message.get_field_by_name("refresh_token").is_some_and(|v| v.as_str() == Some(""))
        {
            message.set_field_by_name("refresh_token", prost_reflect::Value::String(token.clone()));
        }
    }
}

/// Takes the tokens out of a grant and makes cookies of them; the grant keeps the value to say back.
pub fn grant(edge: &Edge, grant: &mut SessionGrant) -> Vec<HeaderValue> {
    if grant.access_token.is_empty() {
        return Vec::new();
    }
    let csrf = edge.csrf.make(&grant.session_id);
    let access = std::mem::take(&mut grant.access_token);
    let refresh = std::mem::take(&mut grant.refresh_token);
    let SessionGrant { session_id, expires_in, .. } = &*grant;
    let cookies = [
        format!("{ACCESS_COOKIE}={access}; Path=/; Max-Age={expires_in}; Secure; HttpOnly; SameSite=Lax"),
        format!(
            "{REFRESH_COOKIE}={session_id}~{refresh}; Path={REFRESH_PATH}; Max-Age={REFRESH_SECONDS}; Secure; HttpOnly; SameSite=Strict"
        ),
        format!("{CSRF_COOKIE}={csrf}; Path=/; Max-Age={REFRESH_SECONDS}; Secure; SameSite=Lax"),
    ];
    grant.csrf_token = csrf;
    cookies.iter().filter_map(|c| HeaderValue::from_str(c).ok()).collect()
}

/// What a browser gets when it has signed out.
pub fn gone() -> Vec<HeaderValue> {
    let names = [(ACCESS_COOKIE, "/"), (REFRESH_COOKIE, REFRESH_PATH), (CSRF_COOKIE, "/")];
    let cookies = names.map(|(name, path)| format!("{name}=; Path={path}; Max-Age=0; Secure; HttpOnly"));
    cookies.iter().filter_map(|c| HeaderValue::from_str(c).ok()).collect()
}

/// The cookies an answer to a browser sets, and the reply without what they carry.
pub fn settle(edge: &Edge, op: &Operation, reply: bytes::Bytes) -> (bytes::Bytes, Vec<HeaderValue>) {
    use prost::Message as _;
    if op.output.full_name() == "retention.identity.v1.SessionGrant"
        && let Ok(mut said) = SessionGrant::decode(reply.clone())
    {
        let cookies = grant(edge, &mut said);
        return (said.encode_to_vec().into(), cookies);
    }
    let signs_out = matches!(op.rpc.name(), "DeleteCurrentSession" | "DeleteSessions");
    (reply, if signs_out { gone() } else { Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_good_for_its_session_only() {
        let common = clap::Parser::parse_from(["x", "--inner-key", "k"]);
        let Wrapped { common } = common;
        let csrf = Csrf::new(&common);
        let value = csrf.make("ses_1");
        assert!(csrf.fits("ses_1", &value));
        assert!(!csrf.fits("ses_2", &value) && !csrf.fits("ses_1", "") && !csrf.fits("ses_1", "a.b"));
        assert_ne!(value, csrf.make("ses_1"));
    }

    #[derive(clap::Parser)]
    struct Wrapped {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; __Host-session=x.y.z; __Host-sessionx=2".parse().unwrap());
        assert_eq!(cookie(&headers, ACCESS_COOKIE), Some("x.y.z"));
        assert_eq!(cookie(&headers, CSRF_COOKIE), None);
    }
}
