//! Tokens as somebody would forge them: made by hand, as no library makes them.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::caller::SigningKey;
use serde_json::{Value, json};

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Header and claims of a good token.
pub fn read(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|p| URL_SAFE_NO_PAD.decode(p).unwrap_or_default());
    let mut next = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (next(), next())
}

/// The claims, signed by a key of somebody else's that is called like ours.
pub fn forged(token: &str) -> String {
    let (header, claims) = read(token);
    let mut seed = [0; 32];
    rand::fill(&mut seed).unwrap();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let text = format!("{}.{}", encode(&header), encode(&claims));
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(pair.sign(text.as_bytes())))
}

/// The claims under a header that says no signature is needed.
pub fn unsigned(token: &str) -> String {
    let (mut header, claims) = read(token);
    header["alg"] = json!("none");
    format!("{}.{}.", encode(&header), encode(&claims))
}

/// The claims, signed with the public key as if it were a shared secret.
pub fn confused(token: &str, key_set: &Value) -> String {
    let (mut header, claims) = read(token);
    header["alg"] = json!("HS256");
    let keys = key_set["keys"].as_array().unwrap();
    let key = keys.iter().find(|k| k["kid"] == header["kid"]).unwrap();
    let public = URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap();
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token as services show it to one another, with the claims of a person.
pub fn inner(token: &str, inner_key: &str) -> String {
    let key = SigningKey::from_seed(&inner_key.to_owned().into()).unwrap();
    key.sign("inner+jwt", &read(token).1).unwrap()
}
