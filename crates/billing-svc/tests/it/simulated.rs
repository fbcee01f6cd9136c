//! The simulated provider: its rig for the contract suite, and what only it has.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use billing_svc::providers::simulated::{self, Books, Fixture, FixturePrice, Fixtures, SIGNATURE};
use billing_svc::providers::{
    self, Act, Connection, Cut, ExternalId, IdempotencyKey, Interval, Keep, Provider, ProviderError,
    ProviderKind, State, SwitchAt, Term, Tools,
};
use connect::http::{Http, Settings};
use kit::clock::{Clock, MovedClock};
use kit::{Caller, Currency, Mode, Money, Role, Scope, SecretString, Timestamp};
use proto::billing::{self as pb, simulated_service_server::SimulatedService};
use testkit::TestDb;

use crate::provider_contract::Rig;

pub struct SimulatedRig {
    _db: TestDb,
    books: Books,
    tools: Tools,
    clock: MovedClock,
    made: AtomicU32,
}

fn scope() -> Scope {
    Scope::new("com_1", Mode::Test)
}

fn secret() -> SecretString {
    "whsec_simulated".into()
}

impl SimulatedRig {
    pub async fn start() -> Self {
        let db = testkit::mongo().await;
        let clock = MovedClock::default();
        let http = Http::new(Settings::default()).unwrap();
        let tools = Tools::open(&db.db("billing-svc").await, http, Arc::new(clock.clone())).await.unwrap();
        let books = tools.books().unwrap().clone();
        let rig = Self { _db: db, books, tools, clock, made: AtomicU32::new(0) };
        let amount = Money::new(1_000, Currency::parse("EUR").unwrap());
        let price = FixturePrice {
            price_id: "fibre-basic".into(),
            plan: "fibre".into(),
            name: "Basic".into(),
            amount,
            interval: Interval::Month,
            interval_count: 1,
        };
        rig.import(Fixtures { rows: Vec::new(), prices: vec![price] }).await;
        rig
    }

    async fn import(&self, fixtures: Fixtures) {
        let imported = self.books.import(&scope(), fixtures, self.clock.now()).await.unwrap();
        assert_eq!(imported.errors, []);
    }

    fn open(&self, scope: Scope) -> Arc<dyn Provider> {
        let connection = Connection {
            kind: ProviderKind::Simulated,
            scope,
            base_url: None,
            key: None,
            account: None,
            site: None,
            webhook_secrets: vec![secret()],
        };
        providers::open(&connection, &self.tools).unwrap()
    }
}

fn row(id: &str, started_at: Timestamp) -> Fixture {
    Fixture {
        external_id: id.into(),
        email: Some("ada@example.com".into()),
        name: Some("Ada".into()),
        locale: None,
        country: Some("IE".into()),
        currency: "EUR".into(),
        plan: "fibre".into(),
        price_minor: 2_000,
        interval: Interval::Month,
        started_at,
        ended_at: None,
        subscription_id: None,
        quantity: 0,
        trial_end: None,
        past_due_since: None,
        payment: None,
        attributes: BTreeMap::new(),
    }
}

#[async_trait]
impl Rig for SimulatedRig {
    fn provider(&self) -> Arc<dyn Provider> {
        self.open(scope())
    }

    fn clock(&self) -> &MovedClock {
        &self.clock
    }

    async fn subscription(&self) -> ExternalId {
        let id = format!("c{}", self.made.fetch_add(1, Ordering::SeqCst));
        self.import(Fixtures { rows: vec![row(&id, self.clock.now())], prices: Vec::new() }).await;
        format!("sub_{id}").into()
    }

    async fn trial(&self) -> ExternalId {
        let id = format!("t{}", self.made.fetch_add(1, Ordering::SeqCst));
        let now = self.clock.now();
        let row = Fixture { trial_end: Some(kit::time::add_days(now, 14)), ..row(&id, now) };
        self.import(Fixtures { rows: vec![row], prices: Vec::new() }).await;
        format!("sub_{id}").into()
    }

    async fn trial_from_the_start(&self) -> ExternalId {
        self.trial().await
    }

    fn other_price(&self) -> String {
        "fibre-basic".into()
    }

    async fn foreign_discount(&self, subscription: &ExternalId) {
        let (scope, now) = (scope(), self.clock.now());
        let given = self.books.grant_foreign(&scope, subscription.as_str(), "PARTNER", Cut::percent(10), now);
        given.await.unwrap();
    }

    async fn delivery(&self, subscription: &ExternalId) -> (Vec<(String, String)>, Vec<u8>) {
        let now = self.clock.now();
        let body = serde_json::json!({
            "id": kit::id::new("evt"), "type": "subscription.changed", "subscription": subscription.as_str(),
            "occurred_at": now.to_string(), "version": 1,
        });
        let body = body.to_string().into_bytes();
        let signature = connect::sign::sign_stripe(&secret(), now, &body);
        (vec![(SIGNATURE.into(), signature)], body)
    }

    fn writes_without_key(&self) -> usize {
        0
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text)
}

#[tokio::test]
async fn another_company_and_another_mode_see_nothing() {
    let rig = SimulatedRig::start().await;
    let id = rig.subscription().await;
    for other in [Scope::new("com_2", Mode::Test), Scope::new("com_1", Mode::Live)] {
        let p = rig.open(other);
        assert!(matches!(p.subscription(&id).await, Err(ProviderError::NotFound(_))));
        let act = p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await;
        assert!(matches!(act, Err(ProviderError::NotFound(_))));
    }
    assert_eq!(rig.provider().subscription(&id).await.unwrap().state, State::Active);
}

#[tokio::test]
async fn two_companies_may_use_the_same_ids() {
    let rig = SimulatedRig::start().await;
    let id = rig.subscription().await;
    let other = Scope::new("com_2", Mode::Test);
    let now = rig.clock.now();
    let fixtures = Fixtures { rows: vec![row("c0", now)], prices: Vec::new() };
    rig.books.import(&other, fixtures, now).await.unwrap();
    rig.open(other).apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await.unwrap();
    assert_eq!(rig.provider().subscription(&id).await.unwrap().state, State::Active);
}

#[tokio::test]
async fn a_switch_at_the_period_s_end_waits_for_it() {
    let rig = SimulatedRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let switch = Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::PeriodEnd };
    p.apply(&id, &switch, &key("s")).await.unwrap();
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.price.minor, s.pending_change.unwrap().at), (2_000, s.period_end));
    rig.clock.advance(jiff::SignedDuration::from_hours(24 * 32));
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.price.minor, s.pending_change), (1_000, None));
}

#[tokio::test]
async fn rows_say_trials_arrears_and_ends() {
    let rig = SimulatedRig::start().await;
    let now = rig.clock.now();
    let (past, soon) = (kit::time::add_days(now, -400), kit::time::add_days(now, 10));
    let rows = vec![
        Fixture { trial_end: Some(soon), ..row("trial", now) },
        Fixture { past_due_since: Some(now), ..row("due", past) },
        Fixture { ended_at: Some(kit::time::add_days(now, -3)), ..row("gone", past) },
        Fixture { ended_at: Some(soon), ..row("going", past) },
    ];
    rig.import(Fixtures { rows, prices: Vec::new() }).await;
    let p = rig.provider();
    let expected = [
        ("sub_trial", State::Trialing),
        ("sub_due", State::PastDue),
        ("sub_gone", State::Ended),
        ("sub_going", State::NonRenewing),
    ];
    for (id, state) in expected {
        assert_eq!(p.subscription(&id.into()).await.unwrap().state, state, "{id}");
    }
    let wrong = vec![Fixture { currency: "XYZ".into(), ..row("odd", now) }, row("even", now)];
    let said = rig.books.import(&scope(), Fixtures { rows: wrong, prices: Vec::new() }, now).await.unwrap();
    assert_eq!((said.rows, said.errors.len(), said.errors[0].0), (1, 1, 0));
    let catalog = p.catalog().await.unwrap();
    assert_eq!((catalog.plans.len(), catalog.prices.len()), (1, 2));
}

fn asked<T>(message: T, company: &str) -> tonic::Request<T> {
    let mut caller = Caller::internal("test", Some(Scope::new(company, Mode::Test)));
    caller.role = Role::RetAdmin;
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(Arc::new(caller));
    request
}

#[tokio::test]
async fn rows_come_in_by_its_own_door_and_what_stands_there_can_be_seen() {
    let rig = SimulatedRig::start().await;
    let rpc = simulated::operations(rig.books.clone());
    let row = pb::FixtureRow {
        external_id: "c-1001".into(),
        email: "ada@example.com".into(),
        country: "ie".into(),
        currency: "eur".into(),
        plan: "fibre".into(),
        price_minor: 2_900,
        interval: pb::BillingInterval::Month.into(),
        started_at: Some(kit::time::to_proto(kit::time::add_days(rig.clock.now(), -45))),
        ..pb::FixtureRow::default()
    };
    let odd = pb::FixtureRow { currency: "XYZ".into(), ..row.clone() };
    let import = pb::ImportFixturesRequest { rows: vec![row, odd], prices: Vec::new() };
    for _ in 0..2 {
        let said = rpc.import_fixtures(asked(import.clone(), "com_1")).await.unwrap().into_inner();
        assert_eq!((said.rows, said.errors[0].index, said.errors[0].field.as_str()), (1, 1, "currency"));
    }
    let people = rig._db.db("billing-svc").await.collection::<bson::Document>("simulated_customers");
    let ridden = people.find_one(bson::doc! { "_outbox.0": { "$exists": true } }).await.unwrap();
    assert!(ridden.is_some(), "the audit event rides with the first row");

    let quarter = Act::Discount { cut: Cut::percent(25), term: Term::Months(3), keep: Keep::All };
    rig.provider().apply(&"sub_c-1001".into(), &quarter, &key("rdm_1")).await.unwrap();
    let see = pb::GetSimulatedSubscriptionRequest { external_id: "sub_c-1001".into() };
    let stands = rpc.get_simulated_subscription(asked(see.clone(), "com_1")).await.unwrap().into_inner();
    assert_eq!((stands.mrr.unwrap().minor, stands.discounts[0].percent_off), (2_175, 25));
    assert_eq!((stands.acts[0].key.as_str(), stands.acts[0].name.as_str()), ("rdm_1", "discount"));
    let other = rpc.get_simulated_subscription(asked(see, "com_2")).await.unwrap_err();
    assert_eq!(other.code(), tonic::Code::NotFound);
}
