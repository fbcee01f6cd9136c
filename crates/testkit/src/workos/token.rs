//! The fake's keys and access tokens: RS256, as WorkOS signs them, made by hand so that they share no code with whoever
//! checks them.

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub const KID: &str = "sso_oidc_key_pair_fake";

pub struct Key(KeyPair);

impl Key {
    pub fn new() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).expect("an RSA key"))
    }

    /// The set of keys as it is published.
    pub fn set(&self) -> Value {
        // SEQUENCE { INTEGER n, INTEGER 65537 }: of 2048 bits, n stands at a fixed place.
        let der = self.0.public_key().as_ref();
        let n = URL_SAFE_NO_PAD.encode(&der[9..265]);
        let whole: PublicKeyX509Der<'_> = self.0.public_key().as_der().expect("a public key");
        let whole = base64::engine::general_purpose::STANDARD.encode(whole.as_ref());
        json!({ "keys": [{
            "alg": "RS256", "kty": "RSA", "use": "sig", "kid": KID, "n": n, "e": "AQAB",
            "x5c": [whole], "x5t#S256": "ZjQyZjE2ZjYxNGY1",
        }] })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message =
            format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT", "kid": KID })), part(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .expect("a signature");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
