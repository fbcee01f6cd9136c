//! Every check of `connect::sign` against the recorded vectors; see `vectors/SOURCES.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

use connect::sign::{self, Refused};
use jiff::{SignedDuration, Timestamp};
use kit::SecretString;
use serde_json::Value;

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn text<'a>(case: &'a Value, key: &str) -> Option<&'a str> {
    case[key].as_str()
}

fn secret(case: &Value) -> [SecretString; 1] {
    [text(case, "secret").unwrap().into()]
}

/// Holds the answer to the case, and the kind of refusal to the words of its reason.
fn judge<T: std::fmt::Debug>(case: &Value, answer: Result<T, Refused>) {
    let name = &case["name"];
    if let Some(valid) = case["valid"].as_bool() {
        assert_eq!(answer.is_ok(), valid, "{name}: {answer:?}");
    }
    let Err(refused) = answer else { return };
    let reason = text(case, "reason").unwrap_or_default();
    let stale = reason.contains("tolerance") || reason.contains("stale") || reason.contains("future");
    assert_eq!(refused == Refused::Stale, stale, "{name}: {refused:?} for {reason:?}");
}

fn body(case: &Value) -> &[u8] {
    text(case, "body").unwrap().as_bytes()
}

fn seconds(case: &Value) -> Timestamp {
    Timestamp::from_second(case["now"].as_i64().unwrap()).unwrap()
}

fn millis(case: &Value) -> Timestamp {
    Timestamp::from_millisecond(case["now_ms"].as_i64().unwrap()).unwrap()
}

#[test]
fn stripe() {
    for c in cases("stripe-webhook-signature") {
        let tolerance = SignedDuration::from_secs(c["tolerance_seconds"].as_i64().unwrap());
        judge(&c, sign::stripe(text(&c, "header"), body(&c), &secret(&c), seconds(&c), tolerance));
    }
}

#[test]
fn recurly() {
    for c in cases("recurly-webhook-signature") {
        judge(&c, sign::recurly(text(&c, "header"), body(&c), &secret(&c), millis(&c)));
    }
}

#[test]
fn workos() {
    for c in cases("workos-signature") {
        judge(&c, sign::workos(text(&c, "header"), body(&c), &secret(&c), millis(&c)));
    }
}

#[test]
fn slack() {
    for c in cases("slack-signature") {
        let headers = c["headers"].as_object().unwrap();
        let header =
            |name| headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).and_then(|(_, v)| v.as_str());
        let (time, tag) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
        judge(&c, sign::slack(time, tag, body(&c), &secret(&c), seconds(&c)));
    }
}

#[test]
fn zendesk() {
    for c in cases("zendesk-signature") {
        let (time, tag) = (text(&c, "timestamp"), text(&c, "signature"));
        judge(&c, sign::zendesk(time, tag, body(&c), &secret(&c), seconds(&c)));
    }
}

#[test]
fn chargebee() {
    for c in cases("chargebee-webhook-basic-auth") {
        let user = text(&c, "expected_username").unwrap().to_owned();
        let password = text(&c, "expected_password").unwrap().into();
        judge(&c, sign::chargebee(text(&c, "authorization"), &[(user, password)]));
    }
}

#[test]
fn two_secrets_serve_while_one_is_replaced() {
    let (old, new): (SecretString, SecretString) = ("whsec_old".into(), "whsec_new".into());
    let now = Timestamp::from_second(1_735_689_600).unwrap();
    let header = sign::sign_stripe(&old, now, b"{}");
    let check = |secrets: &[SecretString]| sign::stripe(Some(&header), b"{}", secrets, now, sign::TOLERANCE);
    assert!(check(&[new.clone(), old]).is_ok());
    assert_eq!(check(&[new]), Err(Refused::Mismatch));
    assert_eq!(check(&[]), Err(Refused::Unconfigured));
}
