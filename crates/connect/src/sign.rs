//! Checks of calls that outsiders make to us. Each takes what the call carried and the secrets we hold (two while one is
//! being replaced), and judges signature first, age second, in constant time. A check without a secret refuses.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use kit::{ExposeSecret, SecretString};

/// How old a signed call may be, where its sender prescribes nothing else.
pub const TOLERANCE: SignedDuration = SignedDuration::from_secs(300);
/// WorkOS' own limit.
pub const WORKOS_TOLERANCE: SignedDuration = SignedDuration::from_secs(180);

/// Why a call is not believed. None of them says more than the sender of a forged call may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("no secret is configured")]
    Unconfigured,
    #[error("the signature is missing")]
    Missing,
    #[error("the signature cannot be read")]
    Malformed,
    #[error("the signature does not match")]
    Mismatch,
    #[error("the signed time is too far from now")]
    Stale,
}

/// `Stripe-Signature: t=<s>,v1=<hex>[,v1=<hex>…]` over `<t>.<body>`. Other schemes than `v1` are ignored: `v0` exists
/// to lead verifiers astray. A time in the future is accepted, as Stripe's own libraries do.
pub fn stripe(
    header: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
    tolerance: SignedDuration,
) -> Result<Timestamp, Refused> {
    let fields = Fields::read(header)?;
    let at = fields.time.parse::<i64>().map_err(|_| Refused::Malformed)?;
    let at = Timestamp::from_second(at).map_err(|_| Refused::Malformed)?;
    fields.check(secrets, &[fields.time.as_bytes(), b".", body])?;
    if now.duration_since(at) > tolerance { Err(Refused::Stale) } else { Ok(at) }
}

/// `WorkOS-Signature: t=<ms>, v1=<hex>` over `<t>.<body>`.
pub fn workos(
    header: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let fields = Fields::read(header)?;
    let at = fields.time.parse::<i64>().map_err(|_| Refused::Malformed)?;
    let at = Timestamp::from_millisecond(at).map_err(|_| Refused::Malformed)?;
    fields.check(secrets, &[fields.time.as_bytes(), b".", body])?;
    near(at, now, WORKOS_TOLERANCE)
}

/// `recurly-signature: <ms>,<hex>[,<hex>…]` over `<ms>.<body>`.
pub fn recurly(
    header: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let (time, signatures) = present(header)?.split_once(',').ok_or(Refused::Malformed)?;
    if time.is_empty() || !time.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refused::Malformed);
    }
    let at = time.parse::<i64>().map_err(|_| Refused::Malformed)?;
    let at = Timestamp::from_millisecond(at).map_err(|_| Refused::Malformed)?;
    let tags = signatures.split(',').filter_map(|s| hex::decode(s.trim()).ok()).collect::<Vec<_>>();
    any_matches(secrets, &[time.as_bytes(), b".", body], &tags)?;
    near(at, now, TOLERANCE)
}

/// `X-Slack-Signature: v0=<hex>` over `v0:<X-Slack-Request-Timestamp>:<body>`.
pub fn slack(
    time: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let (time, signature) = (present(time)?, present(signature)?);
    let at = time.parse::<i64>().map_err(|_| Refused::Malformed)?;
    let at = Timestamp::from_second(at).map_err(|_| Refused::Malformed)?;
    let tag = signature.strip_prefix("v0=").ok_or(Refused::Malformed)?;
    let tag = hex::decode(tag).map_err(|_| Refused::Malformed)?;
    any_matches(secrets, &[b"v0:", time.as_bytes(), b":", body], &[tag])?;
    near(at, now, TOLERANCE)
}

/// `X-Zendesk-Webhook-Signature: <base64>` over `<X-Zendesk-Webhook-Signature-Timestamp><body>`. Zendesk prescribes no
/// age; ours is [`TOLERANCE`].
pub fn zendesk(
    time: Option<&str>,
    signature: Option<&str>,
    body: &[u8],
    secrets: &[SecretString],
    now: Timestamp,
) -> Result<Timestamp, Refused> {
    let (time, signature) = (present(time)?, present(signature)?);
    let at: Timestamp = time.parse().map_err(|_| Refused::Malformed)?;
    let tag = STANDARD.decode(signature).map_err(|_| Refused::Malformed)?;
    any_matches(secrets, &[time.as_bytes(), body], &[tag])?;
    near(at, now, TOLERANCE)
}

/// `Authorization: Basic …`, which is all Chargebee sends. `accepted`: user names and passwords.
pub fn chargebee(header: Option<&str>, accepted: &[(String, SecretString)]) -> Result<(), Refused> {
    let (scheme, encoded) = present(header)?.split_once(' ').ok_or(Refused::Malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refused::Malformed);
    }
    let said = STANDARD.decode(encoded.trim()).map_err(|_| Refused::Malformed)?;
    if !said.contains(&b':') {
        return Err(Refused::Malformed);
    }
    if accepted.is_empty() {
        return Err(Refused::Unconfigured);
    }
    // Hashes are of one length, so the comparison does not tell how long the password is.
    let hash = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
    let said = hash(&said);
    let matches = accepted.iter().filter(|(user, password)| {
        let expected = hash(format!("{user}:{}", password.expose_secret()).as_bytes());
        constant_time::verify_slices_are_equal(expected.as_ref(), said.as_ref()).is_ok()
    });
    if matches.count() > 0 { Ok(()) } else { Err(Refused::Mismatch) }
}

/// Signs as Stripe does: for webhooks of our own and for fakes.
pub fn sign_stripe(secret: &SecretString, at: Timestamp, body: &[u8]) -> String {
    let time = at.as_second().to_string();
    format!("t={time},v1={}", hex::encode(mac(secret, &[time.as_bytes(), b".", body]).as_ref()))
}

/// Signs as WorkOS does: for fakes.
pub fn sign_workos(secret: &SecretString, at: Timestamp, body: &[u8]) -> String {
    let time = at.as_millisecond().to_string();
    format!("t={time}, v1={}", hex::encode(mac(secret, &[time.as_bytes(), b".", body]).as_ref()))
}

/// A header of `key=value` fields: one time, any number of signatures.
struct Fields<'a> {
    time: &'a str,
    tags: Vec<Vec<u8>>,
}

impl<'a> Fields<'a> {
    fn read(header: Option<&'a str>) -> Result<Self, Refused> {
        let fields = || {
            let split = |f: &'a str| f.trim().split_once('=');
            present(header).map(|h| h.split(',').filter_map(split))
        };
        let time = fields()?.find(|(key, _)| *key == "t").map(|(_, v)| v).ok_or(Refused::Malformed)?;
        let tags = fields()?.filter(|(key, _)| *key == "v1").filter_map(|(_, v)| hex::decode(v).ok());
        Ok(Self { time, tags: tags.collect() })
    }

    fn check(&self, secrets: &[SecretString], message: &[&[u8]]) -> Result<(), Refused> {
        any_matches(secrets, message, &self.tags)
    }
}

fn present(header: Option<&str>) -> Result<&str, Refused> {
    header.map(str::trim).filter(|h| !h.is_empty()).ok_or(Refused::Missing)
}

fn near(at: Timestamp, now: Timestamp, tolerance: SignedDuration) -> Result<Timestamp, Refused> {
    if now.duration_since(at).abs() > tolerance { Err(Refused::Stale) } else { Ok(at) }
}

fn mac(secret: &SecretString, message: &[&[u8]]) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    message.iter().for_each(|part| context.update(part));
    context.sign()
}

fn any_matches(secrets: &[SecretString], message: &[&[u8]], tags: &[Vec<u8>]) -> Result<(), Refused> {
    let mut configured = secrets.iter().filter(|s| !s.expose_secret().is_empty()).peekable();
    if configured.peek().is_none() {
        return Err(Refused::Unconfigured);
    }
    let mut found = false;
    for secret in configured {
        let expected = mac(secret, message);
        for tag in tags {
            found |= constant_time::verify_slices_are_equal(expected.as_ref(), tag).is_ok();
        }
    }
    if found { Ok(()) } else { Err(Refused::Mismatch) }
}
