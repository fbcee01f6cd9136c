//! Chargebee over the fake: what only Chargebee does, and what goes wrong on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use billing_svc::providers::{
    self, Act, Connection, Cursor, Cut, ExternalId, FactKind, IdempotencyKey, InboundCall, Keep, Provider,
    ProviderError, ProviderKind, Rejected, State, SwitchAt, Term, Tools,
};
use connect::http::{Http, Settings};
use connect::pace::Paces;
use kit::clock::{Clock, MovedClock};
use kit::{Currency, Mode, Money, Scope, Timestamp};
use testkit::chargebee::{Catalogue, FakeChargebee, Fault};

use crate::provider_contract::Rig;

pub struct ChargebeeRig {
    pub fake: FakeChargebee,
    pub provider: Arc<dyn Provider>,
    pub price: String,
    other: String,
    catalogue: Catalogue,
}

impl ChargebeeRig {
    pub async fn start(catalogue: Catalogue) -> Self {
        kit::run::crypto();
        let fake = FakeChargebee::start(catalogue).await;
        let price = fake.add_price("fibre", "fibre-EUR-monthly", 2_000, "EUR");
        let other = fake.add_price("fibre", "fibre-small-EUR-monthly", 1_000, "EUR");
        fake.add_coupon("PARTNER", 10.0);
        let provider = provider_of(&fake);
        Self { fake, provider, price, other, catalogue }
    }

    fn writes_to(&self, end: &str) -> usize {
        self.fake.seen().iter().filter(|s| s.method == "POST" && s.path.ends_with(end)).count()
    }
}

fn provider_of(fake: &FakeChargebee) -> Arc<dyn Provider> {
    let settings = Settings {
        private_networks: true,
        timeout: Duration::from_millis(500),
        first_wait: Duration::from_millis(2),
        ..Settings::default()
    };
    let tools = Tools::without_books(Http::new(settings).unwrap(), Arc::new(fake.clock().clone()));
    open(fake, &tools.paced(hurried()))
}

fn open(fake: &FakeChargebee, tools: &Tools) -> Arc<dyn Provider> {
    let connection = Connection {
        kind: ProviderKind::Chargebee,
        scope: Scope::new("com_1", Mode::Test),
        base_url: Some(fake.url().to_owned()),
        key: Some(fake.key()),
        account: None,
        site: Some("adafibre-test".into()),
        webhook_secrets: vec!["hook:next".into(), fake.webhook_secret()],
    };
    providers::open(&connection, tools).unwrap()
}

/// A clock that is a minute later whenever somebody looks.
struct Hurried(AtomicI64);

impl Clock for Hurried {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(60 * self.0.fetch_add(1, Ordering::Relaxed)).unwrap()
    }
}

/// What a site allows is less than these tests ask of it: here every turn comes at once.
pub fn hurried() -> Paces {
    Paces::new(Arc::new(Hurried(AtomicI64::default())))
}

#[async_trait]
impl Rig for ChargebeeRig {
    fn provider(&self) -> Arc<dyn Provider> {
        self.provider.clone()
    }

    fn clock(&self) -> &MovedClock {
        self.fake.clock()
    }

    async fn subscription(&self) -> ExternalId {
        let customer = self.fake.add_customer("ada@example.com", "Ada");
        self.fake.add_subscription(&customer, &self.price, 0).into()
    }

    async fn trial(&self) -> ExternalId {
        let customer = self.fake.add_customer("ada@example.com", "Ada");
        self.fake.add_subscription(&customer, &self.price, 14).into()
    }

    async fn trial_from_the_start(&self) -> ExternalId {
        self.trial().await
    }

    fn other_price(&self) -> String {
        self.other.clone()
    }

    async fn foreign_discount(&self, subscription: &ExternalId) {
        let verb = if self.catalogue == Catalogue::Plans { "" } else { "/update_for_items" };
        let path = format!("/subscriptions/{subscription}{verb}");
        self.fake.act(&path, &[("coupon_ids[0]", "PARTNER")]);
    }

    async fn delivery(&self, _: &ExternalId) -> (Vec<(String, String)>, Vec<u8>) {
        let (caller, body) = self.fake.delivery("subscription_created").unwrap();
        (vec![("Authorization".into(), caller)], body.into_bytes())
    }

    fn writes_without_key(&self) -> usize {
        self.fake.seen().iter().filter(|s| s.method != "GET" && s.idempotency_key.is_none()).count()
    }

    fn signs(&self) -> bool {
        false
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text)
}

fn quarter_off() -> Act {
    Act::Discount { cut: Cut::percent(25), term: Term::Months(3), keep: Keep::All }
}

async fn rig() -> ChargebeeRig {
    ChargebeeRig::start(Catalogue::Items).await
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_next(&[Fault::TooMany(0), Fault::BrokenHtml, Fault::Broken]);
    p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().discounts.len(), 1);
}

#[tokio::test]
async fn a_long_wait_is_left_to_who_asked() {
    let rig = rig().await;
    let id = rig.subscription().await;
    rig.fake.fail_next(&[Fault::TooMany(41)]);
    let busy = rig.provider().subscription(&id).await;
    assert!(
        matches!(busy, Err(ProviderError::Busy { after: Some(wait) }) if wait.as_secs() == 41),
        "{busy:?}"
    );
    assert_eq!(rig.fake.seen().len(), 1, "and nothing is asked meanwhile");
}

#[tokio::test]
async fn an_answer_that_never_comes_does_not_act_twice() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    // Reading and making the coupon succeed; the discount is given, and nobody hears of it.
    rig.fake.fail_after(2, &[Fault::SilentAfterActing]);
    let receipt = p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    assert!(receipt.replayed, "the second try got the first one's answer");
    assert_eq!(
        (rig.writes_to("/update_for_items"), p.subscription(&id).await.unwrap().discounts.len()),
        (2, 1)
    );
}

#[tokio::test]
async fn a_key_that_chargebee_forgot_does_not_act_again() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let five = Money::new(500, Currency::parse("EUR").unwrap());
    let until = kit::time::add_days(p.subscription(&id).await.unwrap().period_end.unwrap(), 10);
    let back = kit::time::add_days(rig.clock().now(), 30);
    let acts = [
        quarter_off(),
        Act::Credit { amount: five },
        Act::Refund { amount: five, not_before: Timestamp::UNIX_EPOCH },
        Act::ExtendTerm { until },
        Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::Now { prorate: true } },
        Act::Pause { months: 1, resumes_at: back },
        Act::Resume,
        Act::CancelAtPeriodEnd { feedback: Some("too_expensive".into()) },
        Act::UndoCancel,
    ];
    for act in acts {
        let first = p.apply(&id, &act, &key(act.name())).await.unwrap();
        assert!(!first.replayed, "{}", act.name());
        rig.fake.forget_keys();
        let writes = rig.fake.seen().iter().filter(|s| s.method == "POST").count();
        let second = p.apply(&id, &act, &key(act.name())).await.unwrap();
        assert!(second.replayed && second.made == first.made, "{}: {second:?}", act.name());
        assert_eq!(rig.fake.seen().iter().filter(|s| s.method == "POST").count(), writes, "{}", act.name());
    }
    let nine = Money::new(900, five.currency);
    let wrong = Act::Credit { amount: nine };
    assert!(matches!(p.apply(&id, &wrong, &key("credit")).await, Err(ProviderError::KeyReused)));
    let wrong = Act::Refund { amount: nine, not_before: Timestamp::UNIX_EPOCH };
    assert!(matches!(p.apply(&id, &wrong, &key("refund")).await, Err(ProviderError::KeyReused)));
}

#[tokio::test]
async fn a_refund_whose_answer_never_comes_goes_back_once() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let five = Money::new(500, Currency::parse("EUR").unwrap());
    let refund = Act::Refund { amount: five, not_before: Timestamp::UNIX_EPOCH };
    // Subscription, credit notes and the paid invoice are read first.
    rig.fake.fail_after(3, &[Fault::SilentAfterActing]);
    let receipt = p.apply(&id, &refund, &key("r")).await.unwrap();
    assert!(receipt.replayed, "the second try got the first one's answer");
    let notes = rig.fake.all("credit_note");
    assert_eq!((notes.len(), &notes[0]["total"], rig.writes_to("/refund")), (1, &500.into(), 2));
    assert_eq!(p.given(&id, &key("r")).await.unwrap(), receipt.made);
    let (caller, body) = rig.fake.delivery("payment_refunded").unwrap();
    let headers = vec![("authorization".to_owned(), caller)];
    let call = InboundCall { headers: &headers, body: body.as_bytes(), now: rig.clock().now() };
    let told = p.verify(&call).unwrap().remove(0);
    assert_eq!((told.kind, told.said.amount), (FactKind::Refund, Some(five)));
}

#[tokio::test]
async fn an_account_is_asked_no_faster_than_it_allows() {
    let rig = rig().await;
    let id = rig.subscription().await;
    let settings = Settings { private_networks: true, attempts: 1, ..Settings::default() };
    let tools = Tools::without_books(Http::new(settings).unwrap(), Arc::new(rig.fake.clock().clone()));
    let (p, twin) = (open(&rig.fake, &tools), open(&rig.fake, &tools));
    // Twelve at once, as a tenth of what a test site has in a minute; the next waits for its turn.
    let before = rig.fake.seen().len();
    let began = std::time::Instant::now();
    for _ in 0..13 {
        p.subscription(&id).await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(rig.fake.seen().len() - before >= 13);
    // Who was told to wait does not ask, whichever client of the account it is.
    rig.fake.fail_next(&[Fault::TooMany(41)]);
    let busy = p.subscription(&id).await;
    assert!(matches!(busy, Err(ProviderError::Busy { .. })), "{busy:?}");
    let asked = rig.fake.seen().len();
    let held = twin.subscription(&id).await;
    assert!(
        matches!(held, Err(ProviderError::Busy { after: Some(wait) }) if wait > Duration::from_secs(30)),
        "{held:?}"
    );
    assert_eq!(rig.fake.seen().len(), asked);
    rig.clock().advance(jiff::SignedDuration::from_secs(50));
    twin.subscription(&id).await.unwrap();
}

#[tokio::test]
async fn refusals_say_what_is_wrong_with_the_connection() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_next(&[Fault::Forbidden]);
    assert!(matches!(p.subscription(&id).await, Err(ProviderError::LacksRight(_))));
    for fault in [Fault::Gibberish, Fault::Redirect] {
        rig.fake.fail_next(&[fault]);
        assert!(matches!(p.subscription(&id).await, Err(ProviderError::Unreadable(_))), "{fault:?}");
    }
    rig.fake.fail_next(&[Fault::PaymentFailed]);
    let declined = p.subscription(&id).await;
    assert!(
        matches!(declined, Err(ProviderError::Refused { slug, .. }) if slug == "payment_processing_failed")
    );
    rig.fake.revoke_key();
    assert!(matches!(p.test().await, Err(ProviderError::Revoked)));
}

#[tokio::test]
async fn a_list_that_leads_nowhere_ends_the_pass() {
    let rig = rig().await;
    let p = rig.provider();
    rig.fake.fail_next(&[Fault::RepeatedCursor, Fault::RepeatedCursor]);
    let first = p.changes(&Cursor::start()).await.unwrap();
    let stuck = p.changes(&first.next).await;
    assert!(matches!(stuck, Err(ProviderError::Unreadable(_))), "{stuck:?}");
    rig.fake.fail_next(&[Fault::ForeignNext]);
    let first = p.changes(&Cursor::start()).await.unwrap();
    let refused = p.changes(&first.next).await;
    assert!(
        matches!(refused, Err(ProviderError::Refused { .. })),
        "asked of the site, which refuses: {refused:?}"
    );
}

#[tokio::test]
async fn a_discount_made_by_hand_is_kept_or_taken_by_its_own_name() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let by_hand = [
        ("discounts[operation_type][0]", "add"),
        ("discounts[apply_on][0]", "invoice_amount"),
        ("discounts[duration_type][0]", "forever"),
        ("discounts[percentage][0]", "10"),
    ];
    rig.fake.act(&format!("/subscriptions/{id}/update_for_items"), &by_hand);
    p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.discounts.len(), s.mrr.minor), (2, 1_350));
    let foreign = s.discounts.iter().find(|d| !d.retention).unwrap().id.clone();
    p.apply(&id, &Act::RemoveDiscount { discount: foreign }, &key("r")).await.unwrap();
    let s = p.subscription(&id).await.unwrap();
    assert!(s.discounts.len() == 1 && s.discounts[0].retention);
}

#[tokio::test]
async fn a_switch_at_the_end_of_the_term_waits_and_can_be_seen() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let switch = Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::PeriodEnd };
    p.apply(&id, &switch, &key("s")).await.unwrap();
    let s = p.subscription(&id).await.unwrap();
    let pending = s.pending_change.clone().unwrap();
    assert_eq!((pending.price_id, pending.at, s.price.minor), (Some(rig.other_price()), s.period_end, 2_000));
    assert!(p.apply(&id, &switch, &key("again")).await.unwrap().replayed);
    let now = Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::Now { prorate: true } };
    let refused = p.apply(&id, &now, &key("now")).await;
    assert!(matches!(refused, Err(ProviderError::NotOffered("single_item_without_schedule"))));
    rig.clock().advance(jiff::SignedDuration::from_hours(24 * 32));
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.price_id, s.pending_change), (rig.other_price(), None));
}

#[tokio::test]
async fn an_unpaid_invoice_is_past_due_and_its_event_is_looked_up() {
    let rig = rig().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_payment(id.as_str());
    let s = p.subscription(&id).await.unwrap();
    assert!(s.state == State::PastDue && s.past_due_since.is_some());
    let (caller, body) = rig.fake.delivery("payment_failed").unwrap();
    let headers = vec![("authorization".to_owned(), caller)];
    let read = |body: &str| {
        let call = InboundCall { headers: &headers, body: body.as_bytes(), now: rig.clock().now() };
        p.verify(&call).unwrap().remove(0)
    };
    let told = read(&body);
    assert_eq!((told.kind, told.subscription.as_ref()), (FactKind::PaymentFailed, Some(&id)));
    assert!(p.confirms(&told).await.unwrap());
    let forged = read(&body.replace("payment_failed", "payment_succeeded"));
    assert!(!p.confirms(&forged).await.unwrap(), "the event is another one at Chargebee");
    let unknown = providers::Fact { id: "ev_none".into(), ..told };
    assert!(!p.confirms(&unknown).await.unwrap());
}

#[tokio::test]
async fn a_call_of_the_old_api_version_or_without_the_password_is_refused() {
    let rig = rig().await;
    rig.subscription().await;
    let (caller, body) = rig.fake.delivery("subscription_created").unwrap();
    let p = rig.provider();
    let now = rig.clock().now();
    let said = |caller: &str, body: &str| {
        let headers = [("authorization".to_owned(), caller.to_owned())];
        p.verify(&InboundCall { headers: &headers, body: body.as_bytes(), now })
    };
    assert!(said(&caller, &body).is_ok());
    let old = said(&caller, &body.replace(r#""api_version":"v2""#, r#""api_version":"v1""#));
    assert!(matches!(old, Err(Rejected::Unreadable(_))), "{old:?}");
    for wrong in ["Basic aG9vazpndWVzcw==", "Bearer x", ""] {
        assert!(matches!(said(wrong, &body), Err(Rejected::Signature(_))), "{wrong}");
    }
    // `hook:next`: the pair that follows is good already.
    assert!(said("Basic aG9vazpuZXh0", &body).is_ok());
}

#[tokio::test]
async fn both_catalogues_are_read() {
    for catalogue in [Catalogue::Items, Catalogue::Plans] {
        let rig = ChargebeeRig::start(catalogue).await;
        let got = rig.provider().catalog().await.unwrap();
        let plans = if catalogue == Catalogue::Items { 1 } else { 2 };
        assert_eq!((got.plans.len(), got.prices.len(), got.coupons.len()), (plans, 2, 1), "{catalogue:?}");
        assert!(got.prices.iter().any(|p| p.amount.unwrap().to_string() == "20.00 EUR"));
        assert_eq!(got.coupons[0].cut, Cut::percent(10));
        let account = rig.provider().test().await.unwrap();
        assert_eq!((account.id.as_str(), account.live), ("adafibre-test", Some(false)));
    }
}

#[tokio::test]
async fn a_deleted_customer_says_so() {
    let rig = rig().await;
    let customer = rig.fake.add_customer("bob@example.com", "Bob");
    rig.fake.delete_customer(&customer);
    assert!(rig.provider().customer(&customer.into()).await.unwrap().deleted);
}

#[tokio::test]
async fn without_a_proper_site_nothing_is_opened() {
    let rig = rig().await;
    for site in [None, Some("evil.example/"), Some("a@b")] {
        let connection = Connection {
            kind: ProviderKind::Chargebee,
            scope: Scope::new("com_1", Mode::Test),
            base_url: None,
            key: Some(rig.fake.key()),
            account: None,
            site: site.map(str::to_owned),
            webhook_secrets: Vec::new(),
        };
        let tools =
            Tools::without_books(Http::new(Settings::default()).unwrap(), Arc::new(rig.fake.clock().clone()));
        assert!(matches!(
            providers::open(&connection, &tools),
            Err(ProviderError::NotOffered("site_missing"))
        ));
    }
}
