//! A company that bills through the simulated provider, and the rooms that serve it.

use std::collections::BTreeMap;
use std::sync::Arc;

use billing_svc::connections::{Addresses, Keys, Opener};
use billing_svc::offer::{Audience, CodePolicy, Draft, Limits, Offer, Purpose, Stacking, State, Terms};
use billing_svc::providers::simulated::{Books, Fixture, FixturePrice, Fixtures};
use billing_svc::providers::{self, Cut, Interval, Provider, ProviderKind, Snapshot, Term, Tools};
use billing_svc::redemption::Redemption;
use billing_svc::secrets::Vault;
use billing_svc::subscription::Subscription;
use billing_svc::upstream::Directory;
use billing_svc::{Keeping, Rooms};
use connect::http::{Http, Settings};
use connect::objects::Objects;
use kit::clock::{Clock, MovedClock};
use kit::locale::LocalText;
use kit::{Actor, Caller, Currency, Mode, Money, Role, Scope, SecretString};
use store::Stored;
use testkit::TestDb;
use tokio_util::sync::CancellationToken;

use super::faults::{Faults, Faulty};

pub struct World {
    _test: TestDb,
    pub db: mongodb::Database,
    pub clock: MovedClock,
    pub rooms: Rooms,
    pub books: Books,
    pub faults: Faults,
    pub scope: Scope,
    pub caller: Caller,
}

pub const COMPANY_KEY: &str = "cpk_1";

pub fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

pub fn percent(percent: u32, months: u32) -> Terms {
    Terms::Discount { cut: Cut::percent(percent), term: Term::Months(months) }
}

pub fn draft(terms: Terms) -> Draft {
    Draft {
        name: "Stay".into(),
        purpose: Purpose::Retain,
        terms,
        audience: Audience::default(),
        limits: Limits::default(),
        stacking: Stacking::Refuse,
        code_policy: CodePolicy::None,
        shared_code: String::new(),
        text: LocalText::of("en", "Stay with us"),
        terms_text: None,
        valid_from: None,
        valid_until: None,
    }
}

pub fn webhook_secret() -> SecretString {
    "whsec_of_the_test".into()
}

impl World {
    /// Everything open, the provider connected, a second price for sale.
    pub async fn start() -> Self {
        let test = testkit::mongo().await;
        let clock = MovedClock::default();
        let db = test.db("billing").await;
        let tools =
            Tools::open(&db, Http::new(Settings::default()).unwrap(), Arc::new(clock.clone())).await.unwrap();
        let books = tools.books().unwrap().clone();
        let faults = Faults::default();
        let rooms = Self::rooms(&db, &clock, &tools, &faults, Addresses::default()).await;
        let scope = Scope::new("com_1", Mode::Live);
        let caller = Caller {
            role: Role::RetAdmin,
            actor: Actor::new("user", "usr_1"),
            ..Caller::internal("test", Some(scope.clone()))
        };
        let world = Self { _test: test, db, clock, rooms, books, faults, scope, caller };
        world.connect(&world.caller).await;
        let price = FixturePrice {
            price_id: "dsl_month".into(),
            plan: "dsl".into(),
            name: "DSL".into(),
            amount: eur(1_500),
            interval: Interval::Month,
            interval_count: 1,
        };
        world.import(Fixtures { rows: Vec::new(), prices: vec![price] }).await;
        world
    }

    /// The same with Stripe at another address, through which nothing fails on demand.
    pub async fn start_with_stripe(fake: &testkit::stripe::FakeStripe) -> Self {
        let addresses = Addresses { stripe: Some(fake.url().to_owned()), ..Addresses::default() };
        Self::start_with(addresses, fake.clock(), 400).await
    }

    /// The same with Recurly, whose fake takes longer for an answer.
    pub async fn start_with_recurly(fake: &testkit::recurly::FakeRecurly) -> Self {
        let addresses = Addresses { recurly: Some(fake.url().to_owned()), ..Addresses::default() };
        Self::start_with(addresses, fake.clock(), 2_000).await
    }

    /// The same with Chargebee.
    pub async fn start_with_chargebee(fake: &testkit::chargebee::FakeChargebee) -> Self {
        let addresses = Addresses { chargebee: Some(fake.url().to_owned()), ..Addresses::default() };
        Self::start_with(addresses, fake.clock(), 400).await
    }

    async fn start_with(addresses: Addresses, clock: &MovedClock, millis: u64) -> Self {
        let mut world = Box::pin(Self::start()).await;
        let timeout = std::time::Duration::from_millis(millis);
        let settings = Settings { private_networks: true, timeout, ..Settings::default() };
        let tools = Tools::open(&world.db, Http::new(settings).unwrap(), Arc::new(clock.clone()));
        world.clock = clock.clone();
        let tools = tools.await.unwrap().paced(crate::chargebee::hurried());
        world.rooms = Self::rooms(&world.db, &world.clock, &tools, &world.faults, addresses).await;
        world
    }

    async fn rooms(
        db: &mongodb::Database,
        clock: &MovedClock,
        tools: &Tools,
        faults: &Faults,
        addresses: Addresses,
    ) -> Rooms {
        let vault = Vault::new(&[kit::caller::SigningKey::new_seed()]).unwrap();
        Self::rooms_with(db, clock, tools, faults, addresses, vault).await
    }

    /// The same rooms anew, as after a restart with other master keys.
    pub async fn serve_with(&mut self, vault: Vault) {
        let http = Http::new(Settings::default()).unwrap();
        let tools = Tools::open(&self.db, http, Arc::new(self.clock.clone())).await.unwrap();
        self.rooms =
            Self::rooms_with(&self.db, &self.clock, &tools, &self.faults, Addresses::default(), vault).await;
    }

    async fn rooms_with(
        db: &mongodb::Database,
        clock: &MovedClock,
        tools: &Tools,
        faults: &Faults,
        addresses: Addresses,
        vault: Vault,
    ) -> Rooms {
        let (tools, faults) = (tools.clone(), faults.clone());
        let opener: Opener = Arc::new(move |connection| {
            let inner = providers::open(connection, &tools)?;
            Ok(Arc::new(Faulty { inner, faults: faults.clone() }) as Arc<dyn Provider>)
        });
        // And those that histories make up as they go.
        let made_up = (0..10_000).map(|n| (format!("cph_{n}"), format!("com_h{n}")));
        let known = made_up.chain([(COMPANY_KEY.to_owned(), "com_1".to_owned())]);
        let directory = Directory::fixed(known);
        let keeping = Keeping { objects: Objects::memory(), timeline_days: 1_000 };
        // Large futures within each other are more than a test's stack holds.
        let opening = Rooms::open(db, Arc::new(clock.clone()), vault, opener, addresses, directory, keeping);
        let rooms = Box::pin(opening).await.unwrap();
        in_background(rooms.inserts.clone().run(CancellationToken::new()));
        rooms
    }

    pub async fn connect(&self, caller: &Caller) {
        let keys = Keys {
            provider: ProviderKind::Simulated,
            secret: None,
            webhook_secret: Some(webhook_secret()),
            account_name: None,
            region: None,
            site: None,
        };
        self.rooms.connections.put(caller, keys).await.unwrap();
    }

    pub async fn import(&self, fixtures: Fixtures) {
        let now = self.books.now(&self.scope).await.unwrap();
        let imported = self.books.import(&self.scope, fixtures, now).await.unwrap();
        assert_eq!(imported.errors, []);
    }

    /// Makes a customer with a running subscription of 20.00 EUR a month at the provider and in the mirror.
    pub async fn subscriber(&self, id: &str) -> Stored<Subscription> {
        let started_at = kit::time::add_days(self.clock.now(), -100);
        self.import(Fixtures { rows: vec![Fixture { started_at, ..row(id) }], prices: Vec::new() }).await;
        self.mirrored(&format!("sub_{id}")).await
    }

    /// A subscription of the provider's, in the mirror.
    pub async fn mirrored(&self, external_id: &str) -> Stored<Subscription> {
        let snapshot = self.at_provider(external_id).await;
        let observed = self.rooms.subscriptions.observe(&self.scope, ProviderKind::Simulated, snapshot, None);
        observed.await.unwrap()
    }

    /// The subscription as the provider has it, whatever fails on demand.
    pub async fn at_provider(&self, external_id: &str) -> Snapshot {
        let now = self.books.now(&self.scope).await.unwrap();
        let read = self.books.contract(&self.scope, external_id, now).await.unwrap();
        read.body.snapshot(read.version, now)
    }

    /// An active offer.
    pub async fn offer(&self, draft: Draft) -> Stored<Offer> {
        let offer = self.rooms.offers.create(&self.caller, draft).await.unwrap();
        self.rooms.offers.set_state(&self.caller, &offer.id, State::Active).await.unwrap()
    }

    /// Shows an offer to a subscription in a session of its own.
    pub async fn present(
        &self,
        offer: &Stored<Offer>,
        subscription: &Stored<Subscription>,
    ) -> Stored<Redemption> {
        let session = kit::id::new("fls");
        let shown =
            self.rooms.redemptions.present(&self.caller, &offer.id, &subscription.id, &session, vec![]);
        shown.await.unwrap()
    }

    pub async fn claim(&self, shown: &Stored<Redemption>) -> billing_svc::error::Result<Stored<Redemption>> {
        self.rooms.redemptions.claim(&self.caller, &shown.id, &shown.body.terms_hash).await
    }

    pub async fn redemption(&self, id: &str) -> Redemption {
        self.rooms.redemptions.get(&self.scope, id).await.unwrap().body
    }

    pub fn minutes_later(&self, minutes: i64) {
        self.clock.advance(jiff::SignedDuration::from_mins(minutes));
    }

    pub async fn sync(&self) {
        self.rooms.syncs.round(&CancellationToken::new()).await.unwrap();
    }

    async fn waiting(&self, collection: &str) -> Vec<bson::Document> {
        use futures_util::TryStreamExt;
        let all = self.db.collection::<bson::Document>(collection).find(bson::doc! {}).await.unwrap();
        let all: Vec<bson::Document> = all.try_collect().await.unwrap();
        let outboxes = all.iter().filter_map(|d| d.get_array("_outbox").ok()).flatten();
        outboxes.filter_map(|e| e.as_document().cloned()).collect()
    }

    /// Kinds of the events that wait in a collection's outbox, in their order.
    pub async fn told(&self, collection: &str) -> Vec<String> {
        let kind = |e: &bson::Document| e.get_str("kind").ok().map(ToOwned::to_owned);
        self.waiting(collection).await.iter().filter_map(kind).collect()
    }

    /// What the waiting events of a kind say.
    pub async fn told_events(&self, collection: &str, kind: &str) -> Vec<proto::events::event::Data> {
        use prost::Message as _;
        let of = |e: &&bson::Document| e.get_str("kind").is_ok_and(|k| k == kind);
        let said = |e: &bson::Document| {
            let body = e.get_binary_generic("body").unwrap().as_slice();
            proto::events::Event::decode(body).unwrap().data
        };
        self.waiting(collection).await.iter().filter(of).filter_map(said).collect()
    }

    /// How often such an event was told.
    pub async fn told_times(&self, collection: &str, kind: &str) -> usize {
        self.told(collection).await.iter().filter(|k| *k == kind).count()
    }
}

/// What a service would run as a task; the test's runtime ends it.
#[expect(clippy::disallowed_methods, reason = "the test is the process")]
fn in_background(work: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
    tokio::spawn(work);
}

pub fn row(id: &str) -> Fixture {
    Fixture {
        external_id: id.into(),
        email: Some(format!("{id}@example.com")),
        name: Some("Ada".into()),
        locale: Some("en".into()),
        country: Some("IE".into()),
        currency: "EUR".into(),
        plan: "fibre".into(),
        price_minor: 2_000,
        interval: Interval::Month,
        started_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        ended_at: None,
        subscription_id: None,
        quantity: 0,
        trial_end: None,
        past_due_since: None,
        payment: None,
        attributes: BTreeMap::new(),
    }
}
