//! Every check of `connect::sign` against the recorded vectors; see `vectors/SOURCES.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

use connect::sign::{self, Refused};
use jiff::{SignedDuration, Timestamp};
use kit::SecretString;
use proptest::prelude::*;
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
fn a_secret_of_workos_is_replaced_without_a_refused_call() {
    let [old, new]: [SecretString; 2] = ["whsec_old".into(), "whsec_new".into()];
    let at = Timestamp::from_millisecond(1_768_478_400_123).unwrap();
    let both = [new.clone(), old.clone()];
    for secret in [&old, &new] {
        let header = sign::sign_workos(secret, at, b"{}");
        assert_eq!(sign::workos(Some(&header), b"{}", &both, at), Ok(at), "to the millisecond");
    }
    let header = sign::sign_workos(&old, at, b"{}");
    assert_eq!(sign::workos(Some(&header), b"{}", &[new], at), Err(Refused::Mismatch), "replaced");
    assert_eq!(sign::workos(Some(&header), b"{}", &[], at), Err(Refused::Unconfigured));
    for way in [-1, 1] {
        let off = |ms: i64| at.checked_add(SignedDuration::from_millis(way * ms)).unwrap();
        assert!(sign::workos(Some(&header), b"{}", &both, off(180_000)).is_ok());
        assert_eq!(sign::workos(Some(&header), b"{}", &both, off(180_001)), Err(Refused::Stale));
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

proptest! {
    /// Whatever arrives, a check answers; and what was not signed is never believed.
    #[test]
    fn nothing_made_up_is_believed_or_brings_a_check_down(
        first in prop::option::of(".{0,80}|t=[0-9]{0,20},v1=[0-9a-f]{0,70}|[0-9]{10,13},[0-9a-f]{60,66}|v0=[0-9a-f]{60,66}|Basic [A-Za-z0-9+/=]{0,40}"),
        second in prop::option::of(".{0,80}|[0-9]{0,20}|v0=[0-9a-f]{64}|[A-Za-z0-9+/]{43}="),
        body in prop::collection::vec(any::<u8>(), 0..64),
        now in 0_i64..4_000_000_000,
    ) {
        let secrets: [SecretString; 1] = ["whsec_never_guessed".into()];
        let now = Timestamp::from_second(now).unwrap();
        let (a, b) = (first.as_deref(), second.as_deref());
        prop_assert!(sign::stripe(a, &body, &secrets, now, sign::TOLERANCE).is_err());
        prop_assert!(sign::workos(a, &body, &secrets, now).is_err());
        prop_assert!(sign::recurly(a, &body, &secrets, now).is_err());
        prop_assert!(sign::slack(a, b, &body, &secrets, now).is_err());
        prop_assert!(sign::zendesk(a, b, &body, &secrets, now).is_err());
        prop_assert!(sign::chargebee(a, &[("user".into(), "never guessed".into())]).is_err());
    }

    #[test]
    fn what_is_signed_is_believed(body in prop::collection::vec(any::<u8>(), 0..200), at in 1_000_000_000_i64..3_000_000_000) {
        let secret: SecretString = "whsec_x".into();
        let at = Timestamp::from_second(at).unwrap();
        let header = sign::sign_stripe(&secret, at, &body);
        prop_assert_eq!(sign::stripe(Some(&header), &body, &[secret], at, sign::TOLERANCE), Ok(at));
    }
}
