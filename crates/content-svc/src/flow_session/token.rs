//! Tokens of the flow: a start token leads one customer to one start, a session token goes with every later call. Both
//! say what they are for and are sealed with a key only this service has.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kit::{Code, ExposeSecret, Fault, Mode, Scope, SecretString, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a start token leads to its start.
pub const START: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// How long a session's token is good: a page left open over night still works.
pub const SESSION: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How long the pictures of a preview can be looked at.
pub const LOOK: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Use {
    Start {
        customer: String,
        subscription: String,
        locale: String,
        /// Where the company says that the customer is.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        region: String,
    },
    Session {
        id: String,
    },
    /// To look at pictures of the company that are not public yet, in a preview.
    Look,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Names this token among all.
    pub id: String,
    pub company: String,
    pub mode: Mode,
    /// Seconds since 1970.
    pub expires: i64,
    pub purpose: Use,
}

impl Claims {
    pub fn scope(&self) -> Scope {
        Scope::new(self.company.clone(), self.mode)
    }
}

/// Seals and opens tokens.
#[derive(Clone)]
pub struct Tokens {
    key: hmac::Key,
}

impl Tokens {
    /// The key is derived from the process's secret, so that replicas agree without a setting of its own.
    pub fn new(secret: &SecretString) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().trim().as_bytes());
        let derived = hmac::sign(&master, b"retention flow tokens 1");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// A token for a purpose.
    pub fn seal(&self, scope: &Scope, purpose: Use, expires: Timestamp) -> Result<String, Fault> {
        let Scope { company, mode } = scope.clone();
        let claims = Claims { id: kit::id::new("flt"), company, mode, expires: expires.as_second(), purpose };
        let body = serde_json::to_vec(&claims).map_err(Fault::internal)?;
        let body = URL_SAFE_NO_PAD.encode(body);
        let seal = hmac::sign(&self.key, body.as_bytes());
        Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(seal.as_ref())))
    }

    /// What a token says, unless it is forged or its time is over.
    pub fn open(&self, token: &str, now: Timestamp) -> Result<Claims, Fault> {
        let refused = || Fault::new(Code::Unauthenticated, "invalid_token", "the link is not valid");
        let (body, seal) = token.split_once('.').ok_or_else(refused)?;
        let seal = URL_SAFE_NO_PAD.decode(seal).map_err(|_| refused())?;
        hmac::verify(&self.key, body.as_bytes(), &seal).map_err(|_| refused())?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| refused())?;
        let claims: Claims = serde_json::from_slice(&body).map_err(|_| refused())?;
        if claims.expires <= now.as_second() {
            return Err(Fault::new(Code::Unauthenticated, "token_expired", "the link is no longer good"));
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_time_and_only_as_it_was_sealed() {
        let tokens = Tokens::new(&"secret".to_owned().into());
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let scope = Scope::new("com_1", Mode::Test);
        let token = tokens.seal(&scope, Use::Session { id: "fls_1".into() }, now + START).unwrap();
        let claims = tokens.open(&token, now).unwrap();
        assert_eq!((claims.scope(), claims.purpose), (scope, Use::Session { id: "fls_1".into() }));
        assert!(tokens.open(&token, now + START).is_err(), "its time is over");
        let (body, seal) = token.split_once('.').unwrap();
        assert!(tokens.open(&format!("A{}.{seal}", &body[1..]), now).is_err());
        assert!(Tokens::new(&"other".to_owned().into()).open(&token, now).is_err());
    }
}
