//! Who is there. Three kinds of credential, each with a verifier of its own kind: the access token of a person, an API
//! key, the token of a flow session. What was verified is kept by hash for seconds, and served from there when the
//! service that knows is down.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use http::header;
use http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kit::caller::{Caller, Mode, Role};
use moka::sync::Cache;
use proto::content::flow_session_service_client::FlowSessionServiceClient;
use proto::edge::Auth;
use proto::identity::directory_service_client::DirectoryServiceClient;
use proto::identity::jwks_service_client::JwksServiceClient;
use proto::{content, identity};
use serde::Deserialize;
use tokio::sync::RwLock;
use tonic::Status;

use super::cookies;
use super::kept::{About, Hash, Hearing, Kept, STALE, hash};
use crate::Edge;
use crate::edge::descriptors::Operation;
use crate::edge::problem::{Problem, UNAUTHENTICATED};

/// How often an unknown key id may make us ask for the key set.
const REFETCH: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(2);
/// The longest an access token may say it lives, in seconds.
const LONGEST_LIFE: i64 = 3600;
/// The longest credential we look at.
const LONGEST: usize = 4096;

/// A signed-in person.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: String,
    pub session: String,
    pub role: Role,
    pub company: Option<String>,
    pub company_status: String,
    /// What the company has enabled.
    pub modes: Vec<Mode>,
    pub grants: Vec<String>,
}

/// An API key.
#[derive(Clone, Debug)]
pub struct Key {
    pub id: String,
    pub company: String,
    pub company_status: String,
    pub mode: Mode,
    pub scopes: Vec<String>,
}

/// A customer's own flow session.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: String,
    pub company: String,
    pub mode: Mode,
    expires: i64,
}

/// The companies whose widget may be in pages of an origin.
#[derive(Clone, Debug)]
struct Sites(Vec<String>);

/// An access token whose signature was checked.
struct Token {
    /// By what its session is kept.
    session: Hash,
    session_id: String,
    user: String,
    /// Clock seconds.
    expires: i64,
}

#[derive(Clone, Debug)]
pub enum Who {
    Nobody,
    Person(Arc<Person>),
    Key(Arc<Key>),
    Widget(Arc<Session>),
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    sid: String,
    exp: i64,
    nbf: i64,
    iat: i64,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
}

impl About for Person {
    fn ids(&self) -> Vec<&str> {
        [self.session.as_str(), &self.user].into_iter().chain(self.company.as_deref()).collect()
    }
}

impl About for Key {
    fn ids(&self) -> Vec<&str> {
        vec![&self.id, &self.company]
    }
}

impl About for Session {
    fn ids(&self) -> Vec<&str> {
        vec![&self.company]
    }
}

impl About for Sites {
    fn ids(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}

pub struct Authenticator {
    hearing: Hearing,
    keys: RwLock<(HashMap<String, DecodingKey>, Option<tokio::time::Instant>)>,
    jwks: RwLock<bytes::Bytes>,
    tokens: Cache<Hash, Arc<Token>>,
    people: Kept<Person>,
    api_keys: Kept<Key>,
    widgets: Kept<Session>,
    sites: Kept<Sites>,
}

impl Authenticator {
    pub fn new(bus: Bus) -> Self {
        Self {
            hearing: Hearing::new(bus),
            keys: RwLock::default(),
            jwks: RwLock::default(),
            tokens: Cache::builder().max_capacity(100_000).time_to_live(STALE).build(),
            people: Kept::new(100_000),
            api_keys: Kept::new(100_000),
            widgets: Kept::new(200_000),
            sites: Kept::new(100_000),
        }
    }

    /// Something about a session, a person, a key or a company changed.
    pub fn hear(&self, heard: &bus::Heard) {
        self.hearing.hear(heard);
    }

    /// Whether events reach this replica.
    pub fn hears(&self) -> bool {
        self.hearing.hears()
    }

    /// Who sent this request. A credential that is there and not good is refused, even where none is needed.
    pub async fn who(&self, edge: &Edge, op: &Operation, parts: &Parts) -> Result<Who, Problem> {
        let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
            return match cookies::access_token(op, &parts.headers) {
                Some(token) => self.browser(edge, parts, token).await,
                None => Ok(Who::Nobody),
            };
        };
        // A provider's own scheme is for the service that knows the provider.
        if op.auth() == Auth::Signed {
            return Ok(Who::Nobody);
        }
        let token = value.to_str().ok().and_then(|v| v.strip_prefix("Bearer ")).map(str::trim);
        let token =
            token.filter(|t| !t.is_empty() && t.len() <= LONGEST).ok_or_else(Problem::unauthenticated)?;
        self.credential(edge, token).await
    }

    /// Who a browser's cookie is; a person, and one whom no other site made send this.
    async fn browser(&self, edge: &Edge, parts: &Parts, token: &str) -> Result<Who, Problem> {
        if token.len() > LONGEST {
            return Err(Problem::unauthenticated());
        }
        let person = self.person(edge, token).await?;
        cookies::check(edge, parts, &person.session)?;
        Ok(Who::Person(person))
    }

    /// Who a credential is.
    pub async fn credential(&self, edge: &Edge, token: &str) -> Result<Who, Problem> {
        if token.starts_with("rsk_") {
            return self.api_key(edge, token).await.map(Who::Key);
        }
        // The tokens of flow sessions are no JWS; inner tokens are one of another kind, and for inside.
        match token.split('.').count() {
            3 => self.person(edge, token).await.map(Who::Person),
            _ => self.widget(edge, token).await.map(Who::Widget),
        }
    }

    async fn api_key(&self, edge: &Edge, secret: &str) -> Result<Arc<Key>, Problem> {
        let hash = hash(secret);
        let found = self.api_keys.resolve(&self.hearing, edge.clock.now(), hash, || async {
            let message = identity::ResolveApiKeyRequest { hash: hash.to_vec().into() };
            let mut client = DirectoryServiceClient::new(edge.upstreams.get("identity")?.channel());
            let key = client.resolve_api_key(ask(edge, "identity", message)?).await?.into_inner();
            let mode = Mode::parse(&key.mode).ok_or_else(|| Status::internal("a key without a mode"))?;
            Ok(Key {
                id: key.key_id,
                company: key.company_id,
                company_status: key.company_status,
                mode,
                scopes: key.scopes,
            })
        });
        found.await?.ok_or_else(Problem::unauthenticated)
    }

    async fn person(&self, edge: &Edge, token: &str) -> Result<Arc<Person>, Problem> {
        let (signed, now) = (hash(token), edge.clock.now());
        let token = match self.tokens.get(&signed) {
            Some(kept) => kept,
            None => {
                let token = Arc::new(Box::pin(self.verify(edge, token, now.as_second())).await?);
                self.tokens.insert(signed, token.clone());
                token
            }
        };
        if token.expires <= now.as_second() {
            return Err(Problem::new(401, "token_expired", "the access token is too old; refresh it"));
        }
        // By session: a token that is new while identity is down opens what is known of its session.
        let found = self.people.resolve(&self.hearing, now, token.session, || async {
            let message = identity::ResolveSessionRequest { session_id: token.session_id.clone() };
            let mut client = DirectoryServiceClient::new(edge.upstreams.get("identity")?.channel());
            let said = client.resolve_session(ask(edge, "identity", message)?).await?.into_inner();
            let role = match said.role.as_str() {
                "kale_admin" => Role::KaleAdmin,
                "ret_admin" => Role::RetAdmin,
                "ret_exp" => Role::RetExp,
                _ => return Err(Status::not_found("no role")),
            };
            let company = Some(said.company_id).filter(|c| !c.is_empty());
            Ok(Person {
                user: said.user_id,
                session: said.session_id,
                role,
                company,
                company_status: said.company_status,
                modes: said.modes.iter().filter_map(|m| Mode::parse(m)).collect(),
                grants: said.grants,
            })
        });
        found.await?.filter(|p| p.user == token.user).ok_or_else(Problem::unauthenticated)
    }

    /// Checks an access token, except whether it is too old by now.
    async fn verify(&self, edge: &Edge, token: &str, now: i64) -> Result<Token, Status> {
        let header = jsonwebtoken::decode_header(token).map_err(refused)?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err(refused(()));
        }
        let kid = header.kid.filter(|k| k.len() <= 100).ok_or_else(|| refused(()))?;
        let key = self.key(edge, &kid).await?.ok_or_else(|| refused(()))?;
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&["retention-identity"]);
        rules.set_audience(&["gateway"]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Our own clock decides; tests move it.
        rules.validate_exp = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &rules).map_err(refused)?.claims;
        // Identity makes none that lives longer: one that says so says something else than we do.
        let short = claims.exp.saturating_sub(claims.iat) <= LONGEST_LIFE;
        let begun = claims.nbf <= now + 60 && claims.iat <= now + 60;
        if !short || !begun {
            return Err(refused(()));
        }
        let (session, expires) = (hash(&claims.sid), claims.exp);
        Ok(Token { session, session_id: claims.sid, user: claims.sub, expires })
    }

    async fn key(&self, edge: &Edge, kid: &str) -> Result<Option<DecodingKey>, Status> {
        {
            let (keys, asked) = &*self.keys.read().await;
            let rested = asked.is_none_or(|at| at.elapsed() >= REFETCH);
            if let Some(key) = keys.get(kid) {
                return Ok(Some(key.clone()));
            }
            if !keys.is_empty() && !rested {
                return Ok(None);
            }
        }
        self.fetch(edge).await?;
        Ok(self.keys.read().await.0.get(kid).cloned())
    }

    async fn fetch(&self, edge: &Edge) -> Result<(), Status> {
        let mut client = JwksServiceClient::new(edge.upstreams.get("identity")?.channel());
        let body = client.get_jwks(ask(edge, "identity", identity::GetJwksRequest {})?).await?.into_inner();
        let set: KeySet = serde_json::from_slice(&body.data).map_err(|e| Status::internal(e.to_string()))?;
        let ours = set.keys.into_iter().filter(|k| k.kty == "OKP" && k.crv == "Ed25519");
        let keys = ours.filter_map(|k| Some((k.kid, DecodingKey::from_ed_components(&k.x).ok()?)));
        let keys: HashMap<_, _> = keys.collect();
        *self.keys.write().await = (keys, Some(tokio::time::Instant::now()));
        *self.jwks.write().await = body.data;
        Ok(())
    }

    /// The key set as identity published it, for whoever checks our tokens.
    pub async fn jwks(&self, edge: &Edge) -> Result<bytes::Bytes, Problem> {
        let old = self.keys.read().await.1.is_none_or(|at| at.elapsed() >= REFETCH);
        if old
            && let Err(status) = self.fetch(edge).await
            && self.jwks.read().await.is_empty()
        {
            return Err(status.into());
        }
        Ok(self.jwks.read().await.clone())
    }

    /// Whether pages of this origin may hold a company's widget, or any company's. When nobody can say, they may: what a
    /// customer wants is not lost for it, and the token still opens one session only.
    pub async fn embeds(&self, edge: &Edge, origin: &str, company: Option<&str>) -> bool {
        if origin.len() > 300 || origin == "null" {
            return false;
        }
        let sites = self.sites.resolve(&self.hearing, edge.clock.now(), hash(origin), || async {
            let message = identity::ResolveOriginRequest { origin: origin.to_owned() };
            let mut client = DirectoryServiceClient::new(edge.upstreams.get("identity")?.channel());
            let found = client.resolve_origin(ask(edge, "identity", message)?).await?.into_inner();
            // None at all is kept like "not there".
            Some(Sites(found.company_ids)).filter(|s| !s.0.is_empty()).ok_or(Status::not_found("no company"))
        });
        match sites.await {
            Ok(Some(sites)) => company.is_none_or(|id| sites.0.iter().any(|s| s == id)),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    async fn widget(&self, edge: &Edge, token: &str) -> Result<Arc<Session>, Problem> {
        let found = self.widgets.resolve(&self.hearing, edge.clock.now(), hash(token), || async {
            let message = content::ResolveFlowTokenRequest { token: token.to_owned() };
            let mut client = FlowSessionServiceClient::new(edge.upstreams.get("content")?.channel());
            let said = client.resolve_flow_token(ask(edge, "content", message)?).await?.into_inner();
            let mode = Mode::parse(&said.mode).ok_or_else(|| Status::internal("a session without a mode"))?;
            let expires = said.expires_at.map_or(i64::MAX, |t| t.seconds);
            Ok(Session { id: said.session_id, company: said.company_id, mode, expires })
        });
        let session = found.await?.ok_or_else(Problem::unauthenticated)?;
        if session.expires <= edge.clock.now().as_second() {
            Err(Problem::unauthenticated())
        } else {
            Ok(session)
        }
    }
}

/// A request of the gateway itself.
fn ask<T>(edge: &Edge, service: &str, message: T) -> Result<tonic::Request<T>, Status> {
    edge.upstreams.get(service)?.request(&Caller::internal("gateway", None), DEADLINE, message)
}

/// One answer whatever is wrong with a token: who makes one up learns nothing from it.
fn refused<T>(_: T) -> Status {
    Status::unauthenticated(UNAUTHENTICATED)
}
