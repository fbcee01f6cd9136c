//! The service as others see it: over gRPC, with a signed caller, every message checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use billing_svc::Config;
use clap::Parser;
use kit::caller::{Minter, SigningKey};
use kit::client::Upstream;
use kit::clock::MovedClock;
use kit::error::{Said, said};
use kit::{Actor, Caller, Code, ExposeSecret, Mode, Role, Scope};
use proto::billing as pb;
use proto::billing::connection_service_client::ConnectionServiceClient;
use proto::billing::customer_service_client::CustomerServiceClient;
use proto::billing::offer_service_client::OfferServiceClient;
use proto::billing::subscription_service_client::SubscriptionServiceClient;
use proto::common::{LocalText, Money};
use testkit::TestDb;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

struct Served {
    _db: TestDb,
    upstream: Upstream,
    stop: CancellationToken,
    _server: JoinHandle<anyhow::Result<()>>,
    admin: Caller,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const DEADLINE: Duration = Duration::from_secs(10);

impl Served {
    #[expect(clippy::disallowed_methods, reason = "the test is the process")]
    async fn start() -> Self {
        let db = testkit::mongo().await;
        let seed = SigningKey::new_seed();
        let args = [
            "billing-svc",
            // With `=`, as a key may begin with a dash.
            &format!("--inner-key={}", seed.expose_secret()),
            &format!("--secrets-key={}", seed.expose_secret()),
            "--mongo-uri",
            &db.data.mongo_uri,
            "--mongo-prefix",
            &db.data.mongo_prefix,
            "--nats-url",
            &db.data.nats_url,
            "--nats-prefix",
            &db.data.nats_prefix,
        ];
        let clock = Arc::new(MovedClock::default());
        let service = billing_svc::build(Config::parse_from(args), clock.clone()).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let server = tokio::spawn(kit::run::serve(service, listener, stop.clone(), Duration::from_secs(5)));
        let key = Arc::new(SigningKey::from_seed(&seed).unwrap());
        let upstream = Upstream::new("billing-svc", &address, Minter::new("gateway", key, clock)).unwrap();
        let admin = Caller {
            role: Role::RetAdmin,
            actor: Actor::new("user", "usr_1"),
            ..Caller::internal("gateway", Some(Scope::new("com_1", Mode::Live)))
        };
        let served = Self { _db: db, upstream, stop, _server: server, admin };
        let put = pb::PutConnectionRequest { provider: "simulated".into(), ..Default::default() };
        let mut client = ConnectionServiceClient::new(served.channel());
        let connected = client.put_connection(served.ask(put)).await.unwrap().into_inner();
        assert_eq!(connected.status(), pb::ConnectionStatus::Connected);
        served
    }

    fn channel(&self) -> Channel {
        self.upstream.channel()
    }

    fn ask<T>(&self, message: T) -> tonic::Request<T> {
        self.upstream.request(&self.admin, DEADLINE, message).unwrap()
    }

    fn offers(&self) -> OfferServiceClient<Channel> {
        OfferServiceClient::new(self.channel())
    }

    fn customers(&self) -> CustomerServiceClient<Channel> {
        CustomerServiceClient::new(self.channel())
    }
}

fn text(words: &str) -> LocalText {
    LocalText { default_locale: "en".into(), texts: HashMap::from([("en".into(), words.into())]) }
}

fn discount(percent: u32) -> pb::OfferTerms {
    let kind = pb::offer_terms::Kind::Discount(pb::DiscountTerms {
        percent,
        amount: None,
        duration: pb::DiscountDuration::Repeating.into(),
        months: 3,
    });
    pb::OfferTerms { kind: Some(kind) }
}

fn offer() -> pb::CreateOfferRequest {
    pb::CreateOfferRequest {
        name: "Stay".into(),
        kind: pb::OfferKind::Discount.into(),
        terms: Some(discount(20)),
        text: Some(text("Stay with us")),
        ..Default::default()
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>) -> Said {
    said(&answer.unwrap_err())
}

#[tokio::test]
async fn without_a_signed_caller_nothing_answers() {
    let s = Served::start().await;
    let unsigned = s.offers().list_offers(pb::ListOffersRequest::default()).await;
    assert_eq!(refused(unsigned).code, Code::Unauthenticated);
    let nobody = Caller { scope: None, ..s.admin.clone() };
    let request = s.upstream.request(&nobody, DEADLINE, pb::ListOffersRequest::default()).unwrap();
    assert_eq!(refused(s.offers().list_offers(request).await).slug, "company_required");
}

#[tokio::test]
async fn wrong_offers_are_refused_with_the_field_and_leave_nothing() {
    let s = Served::start().await;
    let money = Money { minor: 500, currency: "EUR".into() };
    let both = pb::offer_terms::Kind::Discount(pb::DiscountTerms {
        percent: 20,
        amount: Some(money),
        duration: pb::DiscountDuration::Once.into(),
        months: 0,
    });
    let pause = pb::offer_terms::Kind::Pause(pb::PauseTerms { months: 1 });
    let terms = |kind| Some(pb::OfferTerms { kind: Some(kind) });
    let limits = pb::OfferLimits {
        monthly_budget: Some(Money { minor: 1, currency: "XXQ".into() }),
        ..Default::default()
    };
    let cases = [
        (pb::CreateOfferRequest { name: String::new(), ..offer() }, "name"),
        (pb::CreateOfferRequest { kind: 0, ..offer() }, "kind"),
        (pb::CreateOfferRequest { kind: 99, ..offer() }, "kind"),
        (pb::CreateOfferRequest { text: None, ..offer() }, "text"),
        (pb::CreateOfferRequest { terms: None, ..offer() }, "terms"),
        (pb::CreateOfferRequest { terms: terms(both), ..offer() }, "terms.discount"),
        (pb::CreateOfferRequest { terms: terms(pause), ..offer() }, "terms"),
        (pb::CreateOfferRequest { terms: Some(discount(0)), ..offer() }, "terms.discount"),
        (pb::CreateOfferRequest { terms: Some(discount(101)), ..offer() }, "terms.discount.percent"),
        (pb::CreateOfferRequest { limits: Some(limits), ..offer() }, "limits.monthly_budget.currency"),
    ];
    for (request, field) in cases {
        let said = refused(s.offers().create_offer(s.ask(request)).await);
        assert_eq!((said.code, said.slug.as_str()), (Code::Invalid, "invalid_request"), "{field}");
        assert_eq!(said.fields[0].field, field);
    }
    let back = |percent, within_days| {
        let amount = Some(Money { minor: 500, currency: "EUR".into() });
        let refund = pb::RefundTerms { percent, amount, within_days };
        let terms = Some(pb::OfferTerms { kind: Some(pb::offer_terms::Kind::Refund(refund)) });
        pb::CreateOfferRequest { kind: pb::OfferKind::Refund.into(), terms, ..offer() }
    };
    for (request, field) in [(back(50, 14), "terms.refund"), (back(0, 0), "terms.refund.within_days")] {
        assert_eq!(refused(s.offers().create_offer(s.ask(request)).await).fields[0].field, field);
    }
    let page = pb::RedirectTerms { url: "javascript:alert(1)".into() };
    let page = Some(pb::OfferTerms { kind: Some(pb::offer_terms::Kind::Redirect(page)) });
    let away = pb::CreateOfferRequest { kind: pb::OfferKind::Redirect.into(), terms: page, ..offer() };
    assert_eq!(refused(s.offers().create_offer(s.ask(away)).await).fields[0].field, "terms.redirect.url");
    let all = s.offers().list_offers(s.ask(pb::ListOffersRequest::default())).await.unwrap().into_inner();
    assert_eq!(all.items.len(), 0);
    let lists = [
        pb::ListOffersRequest { limit: 201, ..Default::default() },
        pb::ListOffersRequest { cursor: "made up".into(), ..Default::default() },
        pb::ListOffersRequest { state: 99, ..Default::default() },
    ];
    for request in lists {
        assert_eq!(refused(s.offers().list_offers(s.ask(request)).await).code, Code::Invalid);
    }
}

#[tokio::test]
async fn an_offer_is_made_changed_by_mask_and_activated() {
    let s = Served::start().await;
    let made = s.offers().create_offer(s.ask(offer())).await.unwrap().into_inner();
    assert_eq!((made.state(), made.number, made.version), (pb::OfferState::Draft, 1, 1));
    assert!(made.terms_text.unwrap().texts["en"].starts_with("20 % off for 3 months"));
    let limits = pb::OfferLimits { per_customer: 1, ..Default::default() };
    let change = pb::UpdateOfferRequest {
        id: made.id.clone(),
        version: 1,
        terms: Some(discount(30)),
        limits: Some(limits),
        update_mask: Some(prost_types::FieldMask { paths: vec!["terms".into(), "limits".into()] }),
        ..Default::default()
    };
    let changed = s.offers().update_offer(s.ask(change.clone())).await.unwrap().into_inner();
    assert_eq!(
        (changed.name.as_str(), changed.limits.unwrap().per_customer, changed.version),
        ("Stay", 1, 2)
    );
    assert_ne!(changed.terms_hash, made.terms_hash);
    assert!(changed.terms_text.unwrap().texts["en"].starts_with("30 % off"), "our words follow the terms");
    assert_eq!(refused(s.offers().update_offer(s.ask(change)).await).slug, "stale_version");
    let activate = pb::ActivateOfferRequest { id: made.id.clone() };
    let active = s.offers().activate_offer(s.ask(activate)).await.unwrap().into_inner();
    assert_eq!(active.state(), pb::OfferState::Active);
    let filter = pb::ListOffersRequest { state: pb::OfferState::Draft.into(), ..Default::default() };
    assert!(s.offers().list_offers(s.ask(filter)).await.unwrap().into_inner().items.is_empty());
    let stranger = Caller { scope: Some(Scope::new("com_2", Mode::Live)), ..s.admin.clone() };
    let get = pb::GetOfferRequest { id: made.id };
    let request = s.upstream.request(&stranger, DEADLINE, get).unwrap();
    assert_eq!(refused(s.offers().get_offer(request).await).code, Code::NotFound);
}

#[tokio::test]
async fn an_expert_without_the_grant_sees_no_personal_data() {
    let s = Served::start().await;
    for (key, personal) in [("tenure", false), ("nickname", true)] {
        let declare = pb::CreateAttributeDefinitionRequest {
            key: key.into(),
            r#type: pb::AttributeType::Text.into(),
            personal,
            ..Default::default()
        };
        s.customers().create_attribute_definition(s.ask(declare)).await.unwrap();
    }
    let value = |t: &str| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(t.into())) };
    let fields = [("tenure".to_owned(), value("12")), ("nickname".to_owned(), value("Countess"))];
    let upsert = pb::UpsertCustomerRequest {
        external_id: "c1".into(),
        email: Some("ada@example.com".into()),
        name: Some("Ada".into()),
        attributes: Some(prost_types::Struct { fields: fields.into_iter().collect() }),
        ..Default::default()
    };
    let own = s.customers().upsert_customer(s.ask(upsert)).await.unwrap().into_inner();
    assert_eq!((own.email.as_str(), own.attributes.unwrap().fields.len()), ("ada@example.com", 2));
    let expert = Caller { role: Role::RetExp, ..s.admin.clone() };
    let list = pb::ListCustomersRequest::default();
    let request = s.upstream.request(&expert, DEADLINE, list).unwrap();
    let seen = s.customers().list_customers(request).await.unwrap().into_inner().items.remove(0);
    assert_eq!((seen.email.as_str(), seen.name.as_str(), seen.external_id.as_str()), ("•••", "•••", "c1"));
    assert_eq!(seen.attributes.unwrap().fields.into_keys().collect::<Vec<_>>(), ["tenure"]);
    let granted = Caller { grants: vec!["see_personal_data".into()], ..expert };
    let get = pb::GetCustomerRequest { id: own.id };
    let request = s.upstream.request(&granted, DEADLINE, get).unwrap();
    assert_eq!(s.customers().get_customer(request).await.unwrap().into_inner().name, "Ada");
}

#[tokio::test]
async fn a_demo_company_is_read_in_and_its_customer_leaves_and_stays() {
    let s = Served::start().await;
    let row = pb::FixtureRow {
        external_id: "c1".into(),
        email: "ada@example.com".into(),
        name: "Ada".into(),
        currency: "EUR".into(),
        plan: "fibre".into(),
        price_minor: 2_000,
        interval: pb::BillingInterval::Month.into(),
        started_at: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        ..Default::default()
    };
    let mut simulated = pb::simulated_service_client::SimulatedServiceClient::new(s.channel());
    let import = pb::ImportFixturesRequest { rows: vec![row], prices: vec![] };
    simulated.import_fixtures(s.ask(import)).await.unwrap();
    let mut connections = ConnectionServiceClient::new(s.channel());
    let sync = pb::SyncConnectionRequest { provider: "simulated".into(), since: None };
    connections.sync_connection(s.ask(sync)).await.unwrap();
    let mut subscriptions = SubscriptionServiceClient::new(s.channel());
    let subject = testkit::eventually("the sync", || {
        let subject = pb::GetFlowSubjectRequest { customer: "c1".into(), subscription: String::new() };
        let mut subscriptions = subscriptions.clone();
        let request = s.ask(subject);
        async move { subscriptions.get_flow_subject(request).await.ok() }
    })
    .await
    .into_inner();
    let subscription = subject.subscription.unwrap();
    assert_eq!((subject.name.as_str(), subject.hands_off.as_str()), ("Ada", ""));
    let mut act = async |action: pb::SubscriptionAction, when: pb::CancelWhen| {
        let ask = pb::ActOnSubscriptionRequest {
            id: subscription.id.clone(),
            action: action.into(),
            when: when.into(),
            ..Default::default()
        };
        subscriptions.act_on_subscription(s.ask(ask)).await
    };
    use pb::{CancelWhen as When, SubscriptionAction as Do, SubscriptionState as State};
    assert_eq!(act(Do::Cancel, When::Unspecified).await.unwrap().get_ref().state(), State::NonRenewing);
    assert_eq!(act(Do::Undo, When::Unspecified).await.unwrap().get_ref().state(), State::Active);
    assert_eq!(act(Do::Cancel, When::PeriodEnd).await.unwrap().get_ref().state(), State::NonRenewing);
    assert_eq!(refused(act(Do::Unspecified, When::Unspecified).await).code, Code::Invalid);
    assert_eq!(refused(act(Do::Pause, When::Now).await).code, Code::Invalid);
    assert_eq!(act(Do::Cancel, When::Now).await.unwrap().get_ref().state(), State::Ended);
    let catalog = pb::GetCatalogRequest { provider: "simulated".into() };
    let catalog = connections.get_catalog(s.ask(catalog)).await.unwrap().into_inner();
    assert_eq!(catalog.prices.len(), 1);
    let unknown = pb::GetCapabilitiesRequest { provider: "paypal".into() };
    assert_eq!(refused(connections.get_capabilities(s.ask(unknown)).await).code, Code::NotFound);
}
