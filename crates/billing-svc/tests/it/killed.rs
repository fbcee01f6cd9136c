//! `kill -9` while customers accept: the service as a process, Stripe over HTTP, and nobody gets anything twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use kit::caller::{Minter, SigningKey};
use kit::client::Upstream;
use kit::clock::SystemClock;
use kit::{Actor, Caller, ExposeSecret, Mode, Role, Scope, SecretString};
use proto::billing as pb;
use proto::billing::connection_service_client::ConnectionServiceClient;
use proto::billing::offer_service_client::OfferServiceClient;
use proto::billing::redemption_service_client::RedemptionServiceClient;
use proto::billing::subscription_service_client::SubscriptionServiceClient;
use proto::common::{LocalText, Money};
use testkit::TestDb;
use testkit::stripe::FakeStripe;
use tokio::process::{Child, Command};

const DEADLINE: Duration = Duration::from_secs(10);
/// How many press "accept" at once in every life of the process.
const ABREAST: usize = 3;
/// A lease of a dead process lasts 30 seconds, the job leaves alone what was touched within 20, and looks every 5; what
/// was asked of the provider is waited for 2 minutes where nothing shows it.
const SETTLED: Duration = Duration::from_secs(180);

/// billing-svc in a process of its own.
struct Service {
    data: TestDb,
    seed: SecretString,
    stripe: FakeStripe,
    port: u16,
    child: Option<Child>,
    upstream: Upstream,
    admin: Caller,
}

impl Service {
    async fn start(stripe: FakeStripe) -> Self {
        let data = testkit::mongo().await;
        let seed = SigningKey::new_seed();
        let port = testkit::ports(1)[0];
        let upstream = Self::upstream(&seed, port);
        let admin = Caller {
            role: Role::RetAdmin,
            actor: Actor::new("user", "usr_1"),
            ..Caller::internal("gateway", Some(Scope::new("com_1", Mode::Test)))
        };
        let mut service = Self { data, seed, stripe, port, child: None, upstream, admin };
        service.live().await;
        service
    }

    /// A way to it; a connection to a dead process is no way to the next one.
    fn upstream(seed: &SecretString, port: u16) -> Upstream {
        let key = Arc::new(SigningKey::from_seed(seed).unwrap());
        let minter = Minter::new("gateway", key, Arc::new(SystemClock));
        Upstream::new("billing-svc", &format!("http://127.0.0.1:{port}"), minter).unwrap()
    }

    /// Starts the process and waits until it is ready.
    async fn live(&mut self) {
        self.upstream = Self::upstream(&self.seed, self.port);
        let data = &self.data.data;
        let mut command = Command::new(env!("CARGO_BIN_EXE_billing-svc"));
        command.envs([
            ("RETENTION_INNER_KEY", self.seed.expose_secret()),
            ("RETENTION_SECRETS_KEY", self.seed.expose_secret()),
            ("RETENTION_MONGO_URI", &data.mongo_uri),
            ("RETENTION_MONGO_PREFIX", &data.mongo_prefix),
            ("RETENTION_NATS_URL", &data.nats_url),
            ("RETENTION_NATS_PREFIX", &data.nats_prefix),
            ("RETENTION_STRIPE_URL", self.stripe.url()),
            ("RETENTION_PRIVATE_NETWORKS", "true"),
            ("RETENTION_LISTEN", &format!("127.0.0.1:{}", self.port)),
            ("RETENTION_LOG", "error"),
        ]);
        self.child = Some(command.kill_on_drop(true).spawn().unwrap());
        let ready = format!("http://127.0.0.1:{}/readyz", self.port);
        testkit::eventually("billing-svc getting ready", || async {
            reqwest::get(&ready).await.ok().filter(|r| r.status().is_success()).map(drop)
        })
        .await;
    }

    async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    fn ask<T>(&self, message: T) -> tonic::Request<T> {
        self.upstream.request(&self.admin, DEADLINE, message).unwrap()
    }

    async fn collection(&self, name: &str) -> Vec<Document> {
        let db = self.data.db("billing").await;
        db.collection::<Document>(name).find(doc! {}).await.unwrap().try_collect().await.unwrap()
    }

    /// Stripe connected and read in: our subscriptions by Stripe's ids.
    async fn connected(&self, count: usize) -> BTreeMap<String, String> {
        let product = self.stripe.add_product("Fibre");
        let price = self.stripe.add_price(&product, 2_000, "eur", "month");
        for n in 0..count {
            let customer = self.stripe.add_customer(&format!("c{n}@example.com"), "Ada");
            self.stripe.add_subscription(&customer, &price);
        }
        let mut connections = ConnectionServiceClient::new(self.upstream.channel());
        let put = pb::PutConnectionRequest {
            provider: "stripe".into(),
            secret: self.stripe.key().expose_secret().into(),
            webhook_secret: self.stripe.webhook_secret().expose_secret().into(),
            ..Default::default()
        };
        connections.put_connection(self.ask(put)).await.unwrap();
        let sync = pb::SyncConnectionRequest { provider: "stripe".into(), since: None };
        connections.sync_connection(self.ask(sync)).await.unwrap();
        testkit::within(Duration::from_secs(120), "the sync", || async {
            (self.collection("subscriptions").await.len() == count).then_some(())
        })
        .await;
        let mut clients = SubscriptionServiceClient::new(self.upstream.channel());
        let (mut known, mut cursor) = (BTreeMap::new(), String::new());
        loop {
            let list = pb::ListSubscriptionsRequest { limit: 200, cursor, ..Default::default() };
            let page = clients.list_subscriptions(self.ask(list)).await.unwrap().into_inner();
            known.extend(page.items.into_iter().map(|s| (s.external_id, s.id)));
            cursor = page.next_cursor;
            if cursor.is_empty() {
                return known;
            }
        }
    }

    async fn offer(&self, budget: i64) -> String {
        let mut offers = OfferServiceClient::new(self.upstream.channel());
        let terms = pb::offer_terms::Kind::Discount(pb::DiscountTerms {
            percent: 20,
            amount: None,
            duration: pb::DiscountDuration::Repeating.into(),
            months: 3,
        });
        let budget = Some(Money { minor: budget, currency: "EUR".into() });
        let words = [("en".to_owned(), "Stay with us".to_owned())];
        let create = pb::CreateOfferRequest {
            name: "Stay".into(),
            kind: pb::OfferKind::Discount.into(),
            terms: Some(pb::OfferTerms { kind: Some(terms) }),
            limits: Some(pb::OfferLimits { monthly_budget: budget, ..Default::default() }),
            text: Some(LocalText { default_locale: "en".into(), texts: words.into() }),
            ..Default::default()
        };
        let id = offers.create_offer(self.ask(create)).await.unwrap().into_inner().id;
        offers.activate_offer(self.ask(pb::ActivateOfferRequest { id: id.clone() })).await.unwrap();
        id
    }

    async fn present(&self, offer: &str, subscription: &str) -> pb::Redemption {
        let shown = pb::PresentOfferRequest {
            offer_id: offer.into(),
            subscription_id: subscription.into(),
            flow_session_id: kit::id::new("fls"),
            persona_ids: Vec::new(),
        };
        let mut redemptions = RedemptionServiceClient::new(self.upstream.channel());
        redemptions.present_offer(self.ask(shown)).await.unwrap().into_inner()
    }

    /// Accepts, and does not mind what becomes of the answer.
    async fn accept(&self, shown: &pb::Redemption) {
        let claim = pb::ClaimRedemptionRequest { id: shown.id.clone(), terms_hash: shown.terms_hash.clone() };
        let mut redemptions = RedemptionServiceClient::new(self.upstream.channel());
        redemptions.claim_redemption(self.ask(claim)).await.ok();
    }
}

/// How often it dies: some in the ordinary run, more by `cargo xtask fuzz --kills`. Its name is none of a setting: the
/// service would inherit it, and refuse to start on one it does not know.
fn kills() -> usize {
    std::env::var("FUZZ_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_killed_at_any_moment_of_an_accept_grants_once_or_not_at_all() {
    let kills = kills();
    let mut service = Service::start(FakeStripe::start().await).await;
    let known = service.connected(kills * ABREAST).await;
    // What three of four accepts cost: the budget runs out on the way.
    let (cost, customers) = (1_200, i64::try_from(kills * ABREAST).unwrap());
    let budget = customers * 3 / 4 * cost;
    let offer = service.offer(budget).await;
    let mut shown = Vec::new();
    for (external, id) in &known {
        shown.push((external, service.present(&offer, id).await));
    }
    let mut whole = Duration::ZERO;
    for (life, customers) in shown.chunks(ABREAST).enumerate() {
        service.kill().await;
        service.live().await;
        let (begun, pressed) = (Instant::now(), join_all(customers.iter().map(|(_, r)| service.accept(r))));
        if life == 0 {
            // How long accepts take in a process that has just begun.
            pressed.await;
            whole = begun.elapsed();
        } else {
            // Spread over the life of a request, from not yet heard to long answered.
            let part = u32::try_from(life * 67 % 120).unwrap();
            tokio::time::timeout(whole * part / 100, pressed).await.ok();
        }
    }
    service.kill().await;
    service.live().await;
    testkit::within(SETTLED, "what was left half-way coming to its end", || async {
        let left = service.collection("redemptions").await;
        let under_way = ["claimed", "applying", "applied", "failed"];
        let state = |r: &Document| r.get_document("body").unwrap().get_str("state").unwrap().to_owned();
        left.iter().all(|r| !under_way.contains(&state(r).as_str())).then_some(())
    })
    .await;

    let states: BTreeMap<_, _> = service
        .collection("redemptions")
        .await
        .into_iter()
        .map(|r| {
            let state = r.get_document("body").unwrap().get_str("state").unwrap().to_owned();
            (r.get_str("_id").unwrap().to_owned(), state)
        })
        .collect();
    let mut ends = BTreeMap::<&str, i64>::new();
    for (external, r) in &shown {
        let state = states[&r.id].as_str();
        *ends.entry(state).or_default() += 1;
        assert!(matches!(state, "presented" | "verified" | "reversed"), "{} is {state}", r.id);
        let there = service.stripe.object(external).unwrap()["discounts"].as_array().unwrap().len();
        assert_eq!(there, usize::from(state == "verified"), "{} is {state}", r.id);
    }
    let verified = ends.get("verified").copied().unwrap_or_default();
    let uses = service.collection("offer_uses").await;
    let used = uses[0].get_document("body").unwrap();
    assert_eq!(used.get_i64("claimed").unwrap(), verified);
    let spent: i64 = used.get_document("spent").unwrap().values().map(|v| v.as_i64().unwrap()).sum();
    assert_eq!(spent, verified * cost);
    assert!(spent <= budget, "{spent} of {budget}");
    println!("{kills} kills: {ends:?}");
    assert!(verified > 0 && ends.contains_key("presented"), "some were killed early and some late: {ends:?}");
}
