//! What an identity provider must be able to do, in our words.

use std::time::Duration;

use async_trait::async_trait;
use connect::http::HttpError;
use kit::{SecretString, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a browser is sent to sign in.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    pub organization: &'a str,
    pub email: &'a str,
    pub redirect_uri: &'a str,
    pub state: &'a str,
    /// The S256 challenge of a verifier only we know.
    pub challenge: &'a str,
}

/// What came back with the browser, and whose browser it is.
pub struct Arrival<'a> {
    pub code: &'a str,
    pub verifier: &'a SecretString,
    pub address: Option<&'a str>,
    pub user_agent: &'a str,
    pub now: Timestamp,
}

/// What is known of whose an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// The provider had its owner prove it.
    Verified,
    Unverified,
    /// The company's own identity provider says so, which is to be believed of the company's own domains only.
    Asserted,
}

/// Whom the provider vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The provider's id of the person.
    pub user: String,
    pub email: String,
    pub address: Address,
    pub name: String,
    pub organization: Option<String>,
    /// The provider's session, where it tells.
    pub session: Option<String>,
    /// Somebody of the provider's staff or the company's acts as the person.
    pub impersonated: bool,
}

/// A company at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    pub id: String,
    pub name: String,
    pub external_id: Option<String>,
    /// Mail domains, and whether the provider has proof of them.
    pub domains: Vec<(String, bool)>,
}

/// What an organization is to be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub company: &'a str,
    pub name: &'a str,
    pub known: Option<&'a str>,
    pub domains: &'a [(String, bool)],
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    Draft,
    Active,
    Inactive,
}

/// A company's own identity provider, as ours knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub id: String,
    pub state: ConnectionState,
}

/// A group of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub id: String,
    pub name: String,
}

/// Somebody in a company's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryUser {
    pub id: String,
    pub directory: String,
    pub organization: Option<String>,
    pub email: String,
    pub active: bool,
    pub groups: Vec<Group>,
    pub updated_at: Timestamp,
}

/// What a visit to the provider's set-up pages is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    Sso,
    Dsync,
    DomainVerification,
    CertificateRenewal,
}

/// Something the provider tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub id: String,
    pub name: String,
    pub at: Timestamp,
    pub data: Value,
}

/// Some of what happened, oldest first, and where to go on.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub events: Vec<Told>,
    pub after: Option<String>,
}

/// What goes wrong with a provider.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("the installation has no identity provider")]
    None,
    /// A sign-in the provider does not grant: its word for why, for the log.
    #[error("the sign-in was not granted: {0}")]
    Denied(String),
    #[error("there is no such thing at the provider")]
    NotFound,
    /// What is asked for contradicts what is there.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// Our own credentials do not work.
    #[error("the provider does not accept our credentials")]
    Credentials,
    #[error("the provider asks us to wait")]
    Throttled(Option<Duration>),
    #[error("the provider is not well: it answered {0}")]
    Down(u16),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the provider's answer cannot be read: {0}")]
    Unreadable(String),
}

impl ProviderError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Throttled(_) | Self::Down(_) | Self::Credentials => true,
            Self::Http(e) => e.is_passing() || matches!(e, HttpError::CircuitOpen),
            _ => false,
        }
    }
}

pub type Result<T> = std::result::Result<T, ProviderError>;

/// An identity provider.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Its name in settings and records.
    fn name(&self) -> &'static str;

    /// Whether it keeps people as members of organizations, and not only says who somebody is.
    fn keeps_users(&self) -> bool;

    /// The address a browser signs in at.
    fn departure(&self, departure: &Departure<'_>) -> Result<String>;

    /// Trades the code for the person it stands for; never sent twice.
    async fn arrival(&self, arrival: &Arrival<'_>) -> Result<Profile>;

    /// Makes the company's organization, or brings it up to what is wanted. Safe to repeat.
    async fn ensure_organization(&self, wanted: &Wanted<'_>) -> Result<Organization>;

    async fn organization(&self, id: &str) -> Result<Organization>;

    /// The organization's connection; of several, an active one.
    async fn connection(&self, organization: &str) -> Result<Option<Connection>>;

    /// The organization's linked directory.
    async fn directory(&self, organization: &str) -> Result<Option<String>>;

    async fn directory_user(&self, id: &str) -> Result<Option<DirectoryUser>>;

    async fn directory_user_by_email(&self, directory: &str, email: &str) -> Result<Option<DirectoryUser>>;

    /// Whether a person is an active member of an organization now.
    async fn is_member(&self, organization: &str, user: &str) -> Result<bool>;

    /// The address of the set-up pages, good for minutes.
    async fn portal_link(&self, organization: &str, intent: Intent, return_url: &str) -> Result<String>;

    /// Ends a session at the provider; one that is over already is no error.
    async fn revoke_session(&self, session: &str) -> Result<()>;

    /// What happened after the event of this id, or, without one, since this time.
    async fn events(&self, after: Option<&str>, since: Timestamp) -> Result<Page>;

    /// Reads a webhook call. Refuses what is not signed by the provider, or was so long ago.
    fn webhook(&self, signature: &str, body: &[u8], now: Timestamp) -> Result<Told>;
}
