//! Billing providers behind one trait: small verbs over our own types. What a provider can do is data
//! ([`Abilities`]), what it did is read back ([`Provider::subscription`]), and which one serves a company is a
//! `match` ([`open`]).

mod abilities;
mod act;
mod catalog;
pub mod chargebee;
mod error;
mod inbound;
pub mod mrr;
pub mod recurly;
pub mod simulated;
mod snapshot;
pub mod stripe;

use std::sync::Arc;

use async_trait::async_trait;
use kit::{Scope, SecretString, SharedClock, Timestamp};
use serde::{Deserialize, Serialize};

pub use abilities::{Abilities, Ability};
pub use act::{Act, Cut, IdempotencyKey, Keep, Receipt, SwitchAt, Term};
pub use catalog::{Catalog, Coupon, Plan, Price};
pub use error::ProviderError;
pub use inbound::{EventPage, Fact, FactKind, Heard, InboundCall, Owner, Rejected, Said};
pub use snapshot::{
    CustomerSnapshot, Discount, ExternalId, Interval, PauseKind, PendingChange, Snapshot, State,
};

/// One connection to a billing provider, for one company and mode.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What this provider can do, and under which conditions.
    fn abilities(&self) -> &'static Abilities;

    /// Checks signature and age of a call the provider made to us, then reads what it says. There is no call without
    /// a check: a connection without a secret accepts none.
    fn verify(&self, call: &InboundCall<'_>) -> Result<Vec<Fact>, Rejected>;

    /// Whether the provider itself knows an event as a call told it. Where calls are signed the signature has said so.
    async fn confirms(&self, _told: &Fact) -> Result<bool, ProviderError> {
        Ok(true)
    }

    /// Whose the payment is that an event is about, where the event itself does not say; none where nobody knows.
    async fn owner(&self, _told: &Fact) -> Result<Option<Owner>, ProviderError> {
        Ok(None)
    }

    /// Whether the credentials work, and whose they are.
    async fn test(&self) -> Result<AccountInfo, ProviderError>;

    /// The subscription as it stands at the provider now.
    async fn subscription(&self, id: &ExternalId) -> Result<Snapshot, ProviderError>;

    /// The customer as it stands at the provider now; one deleted there says so.
    async fn customer(&self, id: &ExternalId) -> Result<CustomerSnapshot, ProviderError>;

    /// Does one act on a subscription. The same key acts once, however often it is sent. The receipt says that the
    /// provider took the request; what it came to is read back.
    async fn apply(
        &self,
        subscription: &ExternalId,
        act: &Act,
        key: &IdempotencyKey,
    ) -> Result<Receipt, ProviderError>;

    /// What an act under this key gave that no subscription shows, while it stands: the read-back of a credit and of a
    /// refund.
    async fn given(
        &self,
        subscription: &ExternalId,
        key: &IdempotencyKey,
    ) -> Result<Option<ExternalId>, ProviderError>;

    /// Plans, prices and coupons to build offers from.
    async fn catalog(&self) -> Result<Catalog, ProviderError>;

    /// The next page of what changed. From [`Cursor::start`] this is everything there is, ended subscriptions
    /// included; from the cursor of a finished pass it is what happened since. Keep `next` after every page: a pass
    /// cut short goes on from there.
    async fn changes(&self, since: &Cursor) -> Result<ChangePage, ProviderError>;

    /// The next page of what the provider would have told by webhook: how what never arrived is found. From
    /// [`Cursor::start`] it begins at `from`. An event has the id its webhook had, so that one that did arrive is known;
    /// overlaps do no harm. Providers that keep no events answer what changed
    /// ([`EventPage::of_changes`] over [`Provider::changes`]).
    async fn events_since(&self, since: &Cursor, from: Timestamp) -> Result<EventPage, ProviderError>;
}

/// The providers we speak with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    Stripe,
    Chargebee,
    Recurly,
    /// The built-in one: a billing system of our own for the demo company, test mode and tests.
    Simulated,
}

impl ProviderKind {
    pub const ALL: [Self; 4] = [Self::Stripe, Self::Chargebee, Self::Recurly, Self::Simulated];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Chargebee => "chargebee",
            Self::Recurly => "recurly",
            Self::Simulated => "simulated",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a provider can do.
pub fn abilities(kind: ProviderKind) -> &'static Abilities {
    match kind {
        ProviderKind::Stripe => &stripe::ABILITIES,
        ProviderKind::Chargebee => &chargebee::ABILITIES,
        ProviderKind::Recurly => &recurly::ABILITIES,
        ProviderKind::Simulated => &simulated::ABILITIES,
    }
}

/// How one company's account at a provider is reached. Secrets print as `[REDACTED]`.
#[derive(Clone, Debug)]
pub struct Connection {
    pub kind: ProviderKind,
    pub scope: Scope,
    /// Another address than the provider's own: a sandbox, a fake.
    pub base_url: Option<String>,
    /// The API key; the simulated provider needs none.
    pub key: Option<SecretString>,
    /// The account to act for, where one key serves several (`acct_…`).
    pub account: Option<String>,
    /// Chargebee's site: the first part of its host name.
    pub site: Option<String>,
    /// The secrets of the webhook endpoint: two while one is being replaced.
    pub webhook_secrets: Vec<SecretString>,
}

/// What adapters need from the process they run in.
#[derive(Clone)]
pub struct Tools {
    http: connect::http::Http,
    /// How fast each account may be asked; every client of an adapter takes its turns there.
    paces: connect::pace::Paces,
    clock: SharedClock,
    /// None where there is no database: then the simulated provider is not offered.
    books: Option<simulated::Books>,
}

impl Tools {
    /// `db` is the service's own: the simulated provider keeps its books there.
    pub async fn open(
        db: &mongodb::Database,
        http: connect::http::Http,
        clock: SharedClock,
    ) -> anyhow::Result<Self> {
        let books = simulated::Books::open(db, clock.clone()).await?;
        let paces = connect::pace::Paces::new(clock.clone());
        Ok(Self { http, paces, clock, books: Some(books) })
    }

    /// The simulated provider's books, for its own doors.
    pub fn books(&self) -> Option<&simulated::Books> {
        self.books.as_ref()
    }

    /// For what needs no provider of our own.
    pub fn without_books(http: connect::http::Http, clock: SharedClock) -> Self {
        let paces = connect::pace::Paces::new(clock.clone());
        Self { http, paces, clock, books: None }
    }

    /// The same at another pace, such as one whose clock runs faster.
    #[must_use]
    pub fn paced(self, paces: connect::pace::Paces) -> Self {
        Self { paces, ..self }
    }
}

/// The adapter for a connection.
pub fn open(connection: &Connection, tools: &Tools) -> Result<Arc<dyn Provider>, ProviderError> {
    match connection.kind {
        ProviderKind::Stripe => Ok(Arc::new(stripe::Stripe::new(connection, tools)?)),
        ProviderKind::Recurly => Ok(Arc::new(recurly::Recurly::new(connection, tools)?)),
        ProviderKind::Simulated => Ok(Arc::new(simulated::Simulated::new(connection, tools)?)),
        ProviderKind::Chargebee => Ok(Arc::new(chargebee::Chargebee::new(connection, tools)?)),
    }
}

/// Whose credentials these are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    pub id: String,
    pub name: String,
    /// Whether real money moves; none where the provider does not say.
    pub live: Option<bool>,
    /// The account's country, ISO 3166, where known.
    pub country: Option<String>,
}

/// A place in the changes of a provider. Opaque outside the adapter that made it; store it as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// Before everything.
    pub fn start() -> Self {
        Self::default()
    }

    /// A cursor kept as text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }
}

/// Some of what changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangePage {
    pub changes: Vec<Change>,
    /// Where the next page begins.
    pub next: Cursor,
    /// Nothing more for now: `next` is where a later pass starts.
    pub done: bool,
}

/// One thing as it stands at the provider. Customers come before their subscriptions.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Customer(CustomerSnapshot),
    Subscription(Box<Snapshot>),
}
