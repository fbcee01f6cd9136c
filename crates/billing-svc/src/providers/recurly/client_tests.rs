use std::sync::Arc;

use connect::pace::{Allowance, Paces};
use kit::Timestamp;
use kit::clock::Clock;

use super::*;

struct At(i64);

impl Clock for At {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0).unwrap()
    }
}

fn client() -> Client {
    kit::run::crypto();
    let http = Http::new(connect::http::Settings::default()).unwrap();
    let clock = Arc::new(At(1_000));
    let pace = Paces::new(clock.clone()).of("recurly", &"key".into(), Allowance::per_second(100));
    Client::new(http, "https://v3.recurly.com", "key".into(), pace, clock)
}

fn answer(status: u16, body: &str) -> Answer {
    Answer { status, headers: HeaderMap::new(), body: body.to_owned().into() }
}

fn error(kind: &str) -> String {
    format!(r#"{{"error":{{"type":"{kind}","message":"no","params":[{{"param":"code"}}]}}}}"#)
}

#[test]
fn their_errors_in_our_words() {
    let client = client();
    let rows = [
        (400, error("bad_request"), "provider_refused"),
        (401, error("unauthorized"), "provider_credentials_revoked"),
        (403, error("missing_feature"), "provider_right_missing"),
        (404, error("not_found"), "not_at_provider"),
        (406, error("invalid_api_version"), "provider_unreadable"),
        (409, error("simultaneous_request"), "provider_busy"),
        (422, error("validation"), "provider_refused"),
        (422, error("simultaneous_request"), "provider_busy"),
        (429, error("rate_limited"), "provider_busy"),
        (500, error("internal_server_error"), "provider_unavailable"),
        (502, "<html>Bad gateway</html>".into(), "provider_unavailable"),
        (302, String::new(), "provider_unreadable"),
        (422, "<html>".into(), "provider_unreadable"),
    ];
    for (status, body, slug) in rows {
        assert_eq!(client.refusal(&answer(status, &body)).slug(), slug, "{status} {body}");
    }
}

#[test]
fn errors_are_read_with_and_without_an_outer_error() {
    let client = client();
    let slug = |body: &str| match client.refusal(&answer(422, body)) {
        ProviderError::Refused { slug, .. } => slug,
        other => panic!("{other:?}"),
    };
    assert_eq!(slug(r#"{"type":"validation","message":"no"}"#), "validation");
    assert_eq!(slug(&error("immutable_subscription")), "immutable_subscription");
    let declined = r#"{"error":{"type":"transaction","message":"no","params":[],
        "transaction_error":{"object":"transaction_error","code":"declined","decline_code":"insufficient_funds"}}}"#;
    assert_eq!(slug(declined), "insufficient_funds");
}

#[test]
fn the_limit_is_waited_for_until_its_reset() {
    let client = client();
    let mut over = answer(429, &error("rate_limited"));
    over.headers.insert("x-ratelimit-reset", "1060".parse().unwrap());
    match client.refusal(&over) {
        ProviderError::Busy { after } => assert_eq!(after, Some(Duration::from_secs(60))),
        other => panic!("{other:?}"),
    }
    over.headers.insert("x-ratelimit-reset", "900".parse().unwrap());
    assert!(client.until_reset(&over).unwrap() > Duration::ZERO, "a reset in the past is no loop");
}

#[test]
fn recurly_s_own_word_on_repeating_wins() {
    let mut headers = HeaderMap::new();
    assert!(worth_repeating(409, &headers) && worth_repeating(503, &headers));
    assert!(!worth_repeating(422, &headers) && !worth_repeating(429, &headers));
    headers.insert("recurly-should-retry", "false".parse().unwrap());
    assert!(!worth_repeating(409, &headers));
}

#[test]
fn pages_are_followed_at_our_host_only() {
    let client = client();
    let own = "https://v3.recurly.com/accounts?cursor=x%3A1&limit=200";
    assert_eq!(client.same_host(own).unwrap(), own, "as it stands");
    assert_eq!(client.same_host("/accounts?cursor=x%3A1&limit=200").unwrap(), own);
    for foreign in [
        "https://v3.eu.recurly.com/accounts",
        "https://v3.recurly.com.example.net/accounts",
        "https://v3.recurly.com@example.net/accounts",
        "http://v3.recurly.com/accounts",
        "//example.net/accounts",
        "accounts",
        "",
    ] {
        assert!(client.same_host(foreign).is_err(), "{foreign}");
    }
}

#[test]
fn another_version_is_not_read() {
    let mut said = answer(200, "{}");
    assert!(noted(&said).is_ok());
    said.headers.insert("recurly-version", "recurly.v2021-02-25".parse().unwrap());
    said.headers.insert("recurly-deprecated", "TRUE".parse().unwrap());
    assert!(noted(&said).is_ok(), "deprecated is a warning, no failure");
    said.headers.insert("recurly-version", "recurly.v2019-10-10".parse().unwrap());
    assert!(noted(&said).is_err());
}

#[test]
fn codes_are_steps_of_a_path_whatever_they_hold() {
    assert_eq!(account(&"code-ada/../x@example.com".into()).unwrap(), "code-ada%2F..%2Fx%40example.com");
    assert_eq!(account(&"e28zov4fw0v2".into()).unwrap(), "e28zov4fw0v2");
    assert!(account(&"../accounts".into()).is_none() && account(&"code-".into()).is_none());
}
