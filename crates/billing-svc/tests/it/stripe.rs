//! Stripe over the fake: what only Stripe does, and what goes wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use billing_svc::providers::{
    self, Act, Connection, Cut, ExternalId, IdempotencyKey, InboundCall, Keep, PauseKind, Provider,
    ProviderError, ProviderKind, Rejected, State, SwitchAt, Term, Tools,
};
use connect::http::{Http, Settings};
use kit::clock::{Clock, MovedClock};
use kit::{Coded, Mode, Scope};
use serde_json::json;
use testkit::stripe::{FakeStripe, Fault};

use crate::provider_contract::Rig;

pub struct StripeRig {
    pub fake: FakeStripe,
    pub provider: Arc<dyn Provider>,
    pub price: String,
    other: String,
}

impl StripeRig {
    pub async fn start() -> Self {
        kit::run::crypto();
        let fake = FakeStripe::start().await;
        let plan = fake.add_product("Fibre");
        let price = fake.add_price(&plan, 2_000, "eur", "month");
        let other = fake.add_price(&plan, 1_000, "eur", "month");
        fake.add_coupon("PARTNER", 10.0);
        let provider = provider_of(&fake, Mode::Test);
        Self { fake, provider, price, other }
    }
}

fn provider_of(fake: &FakeStripe, mode: Mode) -> Arc<dyn Provider> {
    let settings = Settings {
        private_networks: true,
        timeout: Duration::from_millis(500),
        first_wait: Duration::from_millis(2),
        ..Settings::default()
    };
    let connection = Connection {
        kind: ProviderKind::Stripe,
        scope: Scope::new("com_1", mode),
        base_url: Some(fake.url().to_owned()),
        key: Some(fake.key()),
        account: None,
        site: None,
        webhook_secrets: vec!["whsec_next".into(), fake.webhook_secret()],
    };
    let tools = Tools::without_books(Http::new(settings).unwrap(), Arc::new(fake.clock().clone()));
    providers::open(&connection, &tools).unwrap()
}

#[async_trait]
impl Rig for StripeRig {
    fn provider(&self) -> Arc<dyn Provider> {
        self.provider.clone()
    }

    fn clock(&self) -> &MovedClock {
        self.fake.clock()
    }

    async fn subscription(&self) -> ExternalId {
        let customer = self.fake.add_customer("ada@example.com", "Ada");
        self.fake.add_subscription(&customer, &self.price).into()
    }

    async fn trial(&self) -> ExternalId {
        let id = self.subscription().await;
        let end = kit::time::add_days(self.clock().now(), 14).as_second().to_string();
        self.fake.act("POST", &["subscriptions", id.as_str()], json!({ "trial_end": end }));
        id
    }

    async fn trial_from_the_start(&self) -> ExternalId {
        let customer = self.fake.add_customer("ada@example.com", "Ada");
        let end = kit::time::add_days(self.clock().now(), 14).as_second().to_string();
        let params = json!({"customer": customer, "items": [{"price": self.price}], "trial_end": end});
        let made = self.fake.act("POST", &["subscriptions"], params);
        made["id"].as_str().unwrap().into()
    }

    fn other_price(&self) -> String {
        self.other.clone()
    }

    async fn foreign_discount(&self, subscription: &ExternalId) {
        let params = json!({"discounts": [{"coupon": "PARTNER"}]});
        self.fake.act("POST", &["subscriptions", subscription.as_str()], params);
    }

    async fn delivery(&self, _: &ExternalId) -> (Vec<(String, String)>, Vec<u8>) {
        let (signature, body) = self.fake.delivery("customer.subscription.created").unwrap();
        (vec![("Stripe-Signature".into(), signature)], body.into_bytes())
    }

    fn writes_without_key(&self) -> usize {
        self.fake.seen().iter().filter(|s| s.method != "GET" && s.idempotency_key.is_none()).count()
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text)
}

fn quarter_off() -> Act {
    Act::Discount { cut: Cut::percent(25), term: Term::Months(3), keep: Keep::All }
}

#[tokio::test]
async fn a_true_pause_is_read_and_ended_for_what_it_is() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.set(id.as_str(), json!({"billing_mode": {"type": "flexible", "flexible": {}}}));
    rig.fake.act("POST", &["subscriptions", id.as_str(), "pause"], json!({"type": "subscription"}));
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.state, s.pause_kind), (State::Paused, Some(PauseKind::Subscription)));
    p.apply(&id, &Act::Resume, &key("r")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().state, State::Active);
    assert!(rig.fake.seen().iter().any(|s| s.path.ends_with("/resume")));
}

#[tokio::test]
async fn a_schedule_keeps_our_hands_off_the_plan() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.set(id.as_str(), json!({"schedule": "sub_sched_1"}));
    assert!(p.subscription(&id).await.unwrap().schedule_attached);
    let switch = Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::Now { prorate: true } };
    let refused = p.apply(&id, &switch, &key("s")).await;
    assert!(matches!(refused, Err(ProviderError::NotOffered("single_item_without_schedule"))));
    let refused = p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await;
    assert!(matches!(refused, Err(ProviderError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_fixed_end_date_is_taken_back_too() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let day = kit::time::add_days(rig.clock().now(), 10).as_second();
    rig.fake.act("POST", &["subscriptions", id.as_str()], json!({"cancel_at": day.to_string()}));
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.state, s.cancel_at.unwrap().as_second()), (State::NonRenewing, day));
    p.apply(&id, &Act::UndoCancel, &key("u")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().state, State::Active);
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_next(&[Fault::TooMany, Fault::BrokenHtml, Fault::Conflict]);
    p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().discounts.len(), 1);
}

#[tokio::test]
async fn an_answer_that_never_comes_does_not_act_twice() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    // Reading and making the coupon succeed; the discount is given, and nobody hears of it.
    rig.fake.fail_after(2, &[Fault::SilentAfterActing]);
    let receipt = p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    assert!(receipt.replayed, "the second try got the first one's answer");
    let writes =
        rig.fake.seen().iter().filter(|s| s.path.ends_with(id.as_str()) && s.method == "POST").count();
    assert_eq!((writes, p.subscription(&id).await.unwrap().discounts.len()), (2, 1));
}

#[tokio::test]
async fn a_stored_failure_is_uncertain_and_told_so() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_after(1, &[Fault::Broken]);
    let failed = p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await.unwrap_err();
    assert!(failed.is_uncertain() && failed.is_passing(), "{failed:?}");
    assert_eq!(failed.code().0, kit::Code::Unavailable);
    let again = p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await;
    assert!(again.is_err(), "the failure is what the key stands for now");
    assert_eq!(p.subscription(&id).await.unwrap().state, State::Active, "only the read-back knows");
    p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c2")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().state, State::NonRenewing);
}

#[tokio::test]
async fn refusals_say_what_is_wrong_with_the_connection() {
    let rig = StripeRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_next(&[Fault::Forbidden]);
    assert!(matches!(p.subscription(&id).await, Err(ProviderError::LacksRight(_))));
    rig.fake.fail_next(&[Fault::Gibberish]);
    assert!(matches!(p.subscription(&id).await, Err(ProviderError::Unreadable(_))));
    rig.fake.fail_next(&[Fault::CardDeclined]);
    let declined = p.subscription(&id).await;
    assert!(matches!(declined, Err(ProviderError::Refused { slug, .. }) if slug == "insufficient_funds"));
    rig.fake.revoke_key();
    assert!(matches!(p.test().await, Err(ProviderError::Revoked)));
}

#[tokio::test]
async fn a_call_of_the_other_mode_is_refused() {
    let rig = StripeRig::start().await;
    let id = rig.subscription().await;
    let (headers, body) = rig.delivery(&id).await;
    let live = provider_of(&rig.fake, Mode::Live);
    let said = live.verify(&InboundCall { headers: &headers, body: &body, now: rig.clock().now() });
    assert_eq!(said, Err(Rejected::OtherMode));
}

#[tokio::test]
async fn the_catalogue_holds_plans_prices_and_coupons() {
    let rig = StripeRig::start().await;
    let catalog = rig.provider().catalog().await.unwrap();
    assert_eq!((catalog.plans.len(), catalog.prices.len(), catalog.coupons.len()), (1, 2, 1));
    assert_eq!(catalog.plans[0].name, "Fibre");
    assert_eq!(catalog.coupons[0].cut, Cut::percent(10));
    assert!(catalog.prices.iter().any(|p| p.amount.unwrap().to_string() == "20.00 EUR"));
}

#[tokio::test]
async fn a_deleted_customer_says_so() {
    let rig = StripeRig::start().await;
    let customer = rig.fake.add_customer("bob@example.com", "Bob");
    rig.fake.act("DELETE", &["customers", &customer], json!({}));
    assert!(rig.provider().customer(&customer.into()).await.unwrap().deleted);
}
