//! Who is calling: minted once by the gateway as a short signed token, forwarded from service to service, and the
//! only source of company, mode and actor inside. A request message never says who its sender is.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::clock::SharedClock;
use crate::error::{Code, Fault};

/// `live` or `test`: on every record, key, token and event. The two never mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    Live,
    Test,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "live" => Some(Self::Live),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

/// A company and a mode: what every record belongs to and every query is bound by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    pub company: String,
    pub mode: Mode,
}

impl Scope {
    /// What belongs to no company: people, platform settings, the library.
    pub fn platform() -> Self {
        Self::new("platform", Mode::Live)
    }

    pub fn new(company: impl Into<String>, mode: Mode) -> Self {
        Self { company: company.into(), mode }
    }
}

/// The kind of caller, as `domain.md` letters them: K, A, E, M, C, P, J, and nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    KaleAdmin,
    RetAdmin,
    RetExp,
    Machine,
    Widget,
    Provider,
    Internal,
    Public,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KaleAdmin => "kale_admin",
            Self::RetAdmin => "ret_admin",
            Self::RetExp => "ret_exp",
            Self::Machine => "machine",
            Self::Widget => "widget",
            Self::Provider => "provider",
            Self::Internal => "internal",
            Self::Public => "public",
        }
    }

    /// A person of the dashboard.
    pub fn is_person(self) -> bool {
        matches!(self, Self::KaleAdmin | Self::RetAdmin | Self::RetExp)
    }
}

/// Who acts, by id: `user` `usr_…`, `api_key` `key_…`, `flow_session` `fls_…`, `service` `billing-svc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    pub kind: String,
    pub id: String,
}

impl Actor {
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}

/// Everything a service may know about who calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub role: Role,
    pub actor: Actor,
    /// None for the public and for operations about the whole installation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Grants of a person (`publish_live`) or scopes of a key (`events:write`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The session of a person, so that it can be ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Why an operator acts on a company's data; audited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request this is part of, the same through every hop. Travels beside the token, so that a caller's next
    /// request can use the same one.
    #[serde(skip)]
    pub request_id: String,
    /// The address the request came from, for throttling and session lists. Personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// What a browser says it is, where somebody signs in. Personal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl Caller {
    /// A service acting by itself: a job, an event handler, the carrying out of what a customer asked for.
    pub fn internal(service: &str, scope: Option<Scope>) -> Self {
        Self {
            role: Role::Internal,
            actor: Actor::new("service", service),
            scope,
            grants: Vec::new(),
            session: None,
            reason: None,
            request_id: crate::id::new("req"),
            address: None,
            device: None,
        }
    }

    /// Company and mode, or a refusal where a caller has none.
    pub fn scope(&self) -> Result<&Scope, Fault> {
        self.scope
            .as_ref()
            .ok_or_else(|| Fault::new(Code::Forbidden, "company_required", "name the company you act for"))
    }

    pub fn has(&self, grant: &str) -> bool {
        self.grants.iter().any(|g| g == grant)
    }

    /// Whether personal fields are to be shown: everyone but a retention expert without the grant.
    pub fn sees_personal_data(&self) -> bool {
        self.role != Role::RetExp || self.has("see_personal_data")
    }

    /// The caller of a gRPC request, put there by the service's own check of the token.
    pub fn of<T>(request: &tonic::Request<T>) -> Result<Self, tonic::Status> {
        request.extensions().get::<Arc<Self>>().map(|c| Self::clone(c)).ok_or_else(|| {
            crate::error::status(&Fault::new(Code::Unauthenticated, "unauthenticated", "no caller"))
        })
    }
}

/// What the inner token says.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    iat: i64,
    exp: i64,
    caller: Caller,
}

/// How long an inner token is good for. Long enough for one request and its retries.
pub const LIFETIME: Duration = Duration::from_secs(60);
const TYPE: &str = "inner+jwt";

/// An Ed25519 key pair, made from 32 secret bytes in base64url.
pub struct SigningKey {
    encoding: EncodingKey,
    public: Vec<u8>,
    kid: String,
}

impl SigningKey {
    /// Reads the 32-byte seed.
    pub fn from_seed(seed: &SecretString) -> anyhow::Result<Self> {
        let seed = URL_SAFE_NO_PAD.decode(seed.expose_secret().trim())?;
        anyhow::ensure!(seed.len() == 32, "a signing key is 32 bytes in base64url");
        // PKCS#8 version 1 of an Ed25519 key is this fixed prefix and the seed (RFC 8410).
        let mut pkcs8 = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        pkcs8.extend_from_slice(&seed);
        let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&seed)
            .map_err(|_| anyhow::anyhow!("not an Ed25519 seed"))?;
        let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
        let kid = thumbprint(&public);
        Ok(Self { encoding: EncodingKey::from_ed_der(&pkcs8), public, kid })
    }

    /// A fresh seed.
    pub fn new_seed() -> SecretString {
        let mut seed = [0_u8; 32];
        // The system's random source does not fail on the platforms we run on; zeros would be refused nowhere else.
        aws_lc_rs::rand::fill(&mut seed).unwrap_or_else(|_| std::process::abort());
        URL_SAFE_NO_PAD.encode(seed).into()
    }

    /// The public half, base64url.
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.public)
    }

    /// The key's name: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs claims as a compact JWS with this key and the given `typ`.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, Fault> {
        let header =
            Header { typ: Some(typ.into()), kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.encoding).map_err(Fault::internal)
    }
}

/// RFC 7638: the SHA-256 of the key's required members in order.
pub fn thumbprint(public: &[u8]) -> String {
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, URL_SAFE_NO_PAD.encode(public));
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, jwk.as_bytes()))
}

/// Makes inner tokens in the name of one process, and keeps the last ones: a caller's next request within half a
/// token's life costs no signature.
#[derive(Clone)]
pub struct Minter {
    issuer: String,
    key: Arc<SigningKey>,
    clock: SharedClock,
    made: Cache<(String, String), (Arc<str>, i64)>,
}

impl Minter {
    pub fn new(issuer: impl Into<String>, key: Arc<SigningKey>, clock: SharedClock) -> Self {
        let made = Cache::builder().max_capacity(20_000).time_to_live(LIFETIME / 2).build();
        Self { issuer: issuer.into(), key, clock, made }
    }

    /// A token that says this caller to that service, and to no other.
    pub fn mint(&self, caller: &Caller, audience: &str) -> Result<Arc<str>, Fault> {
        let said = serde_json::to_string(caller).map_err(Fault::internal)?;
        let iat = self.clock.now().as_second();
        let life = i64::try_from(LIFETIME.as_secs()).unwrap_or(60);
        if let Some((token, made)) = self.made.get(&(audience.to_owned(), said.clone()))
            && iat - made < life / 2
        {
            return Ok(token);
        }
        let exp = iat + life;
        let claims =
            Claims { iss: self.issuer.clone(), aud: audience.into(), iat, exp, caller: caller.clone() };
        let token: Arc<str> = self.key.sign(TYPE, &claims)?.into();
        self.made.insert((audience.to_owned(), said), (token.clone(), iat));
        Ok(token)
    }
}

/// Checks inner tokens for one service. A token seen before costs a hash instead of a signature check.
#[derive(Clone)]
pub struct Verifier {
    audience: String,
    keys: Arc<Vec<(String, DecodingKey)>>,
    clock: SharedClock,
    seen: Cache<[u8; 32], (Arc<Caller>, i64)>,
}

impl Verifier {
    /// `trusted`: the public keys, base64url, of every process that may call.
    pub fn new(audience: impl Into<String>, trusted: &[String], clock: SharedClock) -> anyhow::Result<Self> {
        let keys = trusted
            .iter()
            .map(|x| {
                let raw = URL_SAFE_NO_PAD.decode(x)?;
                Ok((thumbprint(&raw), DecodingKey::from_ed_components(x)?))
            })
            .collect::<anyhow::Result<_>>()?;
        let seen = Cache::builder().max_capacity(50_000).time_to_live(LIFETIME).build();
        Ok(Self { audience: audience.into(), keys: Arc::new(keys), clock, seen })
    }

    /// The caller a token says, unless it is forged, expired or meant for somebody else.
    pub fn verify(&self, token: &str) -> Result<Arc<Caller>, Fault> {
        let now = self.clock.now();
        let mut hash = [0_u8; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
        if let Some((caller, exp)) = self.seen.get(&hash) {
            return if exp > now.as_second() { Ok(caller) } else { Err(refused()) };
        }
        let (caller, exp) = self.check(token, now)?;
        self.seen.insert(hash, (caller.clone(), exp));
        Ok(caller)
    }

    fn check(&self, token: &str, now: Timestamp) -> Result<(Arc<Caller>, i64), Fault> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused())?;
        if header.typ.as_deref() != Some(TYPE) {
            return Err(refused());
        }
        let kid = header.kid.as_deref().unwrap_or_default();
        let (_, key) = self.keys.iter().find(|(k, _)| k == kid).ok_or_else(refused)?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[&self.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Our own clock decides below: it may be ahead of the machine's.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &rules).map_err(|_| refused())?.claims;
        let life = i64::try_from(LIFETIME.as_secs()).unwrap_or(60);
        let in_time = claims.exp > now.as_second()
            && claims.iat <= now.as_second() + 60
            && claims.exp.saturating_sub(claims.iat) <= life;
        if in_time { Ok((Arc::new(claims.caller), claims.exp)) } else { Err(refused()) }
    }
}

fn refused() -> Fault {
    Fault::new(Code::Unauthenticated, "unauthenticated", "the inner token is not valid here")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, MovedClock};

    fn setup() -> (Minter, Verifier, MovedClock) {
        crate::run::crypto();
        let clock = MovedClock::default();
        let key = Arc::new(SigningKey::from_seed(&SigningKey::new_seed()).unwrap());
        let verifier = Verifier::new("billing-svc", &[key.public()], Arc::new(clock.clone())).unwrap();
        (Minter::new("gateway", key, Arc::new(clock.clone())), verifier, clock)
    }

    #[test]
    fn a_minted_caller_comes_back_whole() {
        let (minter, verifier, _) = setup();
        let mut caller = Caller::internal("content-svc", Some(Scope::new("com_1", Mode::Test)));
        caller.request_id = String::new();
        let token = minter.mint(&caller, "billing-svc").unwrap();
        assert_eq!(*verifier.verify(&token).unwrap(), caller);
        assert_eq!(*verifier.verify(&token).unwrap(), caller, "the cached answer is the same");
    }

    #[test]
    fn another_audience_an_old_token_and_a_changed_one_are_refused() {
        let (minter, verifier, clock) = setup();
        let caller = Caller::internal("content-svc", None);
        assert!(verifier.verify(&minter.mint(&caller, "notify-svc").unwrap()).is_err());
        let token = minter.mint(&caller, "billing-svc").unwrap();
        let (head, tail) = token.rsplit_once('.').unwrap();
        assert!(verifier.verify(&format!("{head}.A{}", &tail[1..])).is_err());
        assert!(verifier.verify(&token).is_ok());
        clock.advance(jiff::SignedDuration::from_secs(61));
        assert!(verifier.verify(&token).is_err(), "a cached token still expires");
    }

    #[test]
    fn what_is_no_inner_token_of_ours_is_refused() {
        crate::run::crypto();
        let clock = MovedClock::default();
        let key = SigningKey::from_seed(&SigningKey::new_seed()).unwrap();
        let verifier = Verifier::new("billing-svc", &[key.public()], Arc::new(clock.clone())).unwrap();
        let now = clock.now().as_second();
        let caller = Caller::internal("content-svc", None);
        let good = serde_json::json!({ "iss": "gateway", "aud": "billing-svc", "iat": now, "exp": now + 60, "caller": caller });
        let signed = |typ: &str, name: &str, value: serde_json::Value| {
            let mut claims = good.clone();
            claims[name] = value;
            if claims[name].is_null() {
                claims.as_object_mut().unwrap().remove(name);
            }
            key.sign(typ, &claims).unwrap()
        };
        let refused = |token: &str| verifier.verify(token).is_err();
        assert!(!refused(&signed(TYPE, "iss", "gateway".into())), "as it should be");
        assert!(refused(&signed("at+jwt", "iss", "gateway".into())), "an access token from the edge");
        assert!(refused(&signed("JWT", "iss", "gateway".into())), "another kind");
        for (name, value) in [
            ("aud", "notify-svc".into()),
            ("aud", "billing-svc/".into()),
            ("aud", "Billing-svc".into()),
            ("aud", serde_json::Value::Null),
            ("iss", serde_json::Value::Null),
            ("exp", serde_json::Value::Null),
            ("exp", (now - 1).into()),
            ("exp", (now + 60).to_string().into()),
            ("exp", (now + 86_400).into()),
            ("exp", i64::MAX.into()),
            ("exp", serde_json::json!(1e300)),
            ("iat", (now + 600).into()),
            ("caller", serde_json::Value::Null),
        ] {
            assert!(refused(&signed(TYPE, name, value.clone())), "{name}: {value}");
        }
        let token = signed(TYPE, "iss", "gateway".into());
        let (head, rest) = token.split_once('.').unwrap();
        let (claims, signature) = rest.split_once('.').unwrap();
        let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let other = |alg: &str, kid: &str| part(serde_json::json!({ "typ": TYPE, "alg": alg, "kid": kid }));
        let mut changed = good.clone();
        changed["caller"]["role"] = "kale_admin".into();
        assert!(refused(&format!("{head}.{}.{signature}", part(changed))), "other claims");
        assert!(refused(&format!("{}.{claims}.", other("none", key.kid()))), "no signature");
        for alg in ["HS256", "ES256", "RS256", "none"] {
            assert!(refused(&format!("{}.{claims}.{signature}", other(alg, key.kid()))), "{alg}");
        }
        for kid in ["", "unknown", "../../keys/1", "x' OR '1'='1"] {
            assert!(refused(&format!("{}.{claims}.{signature}", other("EdDSA", kid))), "{kid}");
        }
    }

    #[test]
    fn a_stranger_s_key_is_refused() {
        let (_, verifier, clock) = setup();
        let stranger = Arc::new(SigningKey::from_seed(&SigningKey::new_seed()).unwrap());
        let token = Minter::new("gateway", stranger, Arc::new(clock))
            .mint(&Caller::internal("x", None), "billing-svc");
        assert!(verifier.verify(&token.unwrap()).is_err());
    }
}
