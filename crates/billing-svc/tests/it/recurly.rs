//! Recurly over the fake: what only Recurly does, and what goes wrong on the way.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use billing_svc::providers::{
    self, Act, Change, Connection, Cursor, Cut, ExternalId, FactKind, IdempotencyKey, InboundCall, Keep,
    Provider, ProviderError, ProviderKind, Rejected, State, SwitchAt, Term, Tools,
};
use connect::http::{Http, Settings};
use jiff::SignedDuration;
use kit::clock::{Clock, MovedClock};
use kit::{Coded, Currency, Mode, Money, Scope};
use serde_json::json;
use testkit::recurly::{FakeRecurly, Fault};

use crate::provider_contract::Rig;

pub struct RecurlyRig {
    pub fake: FakeRecurly,
    pub provider: Arc<dyn Provider>,
}

impl RecurlyRig {
    pub async fn start() -> Self {
        kit::run::crypto();
        let fake = FakeRecurly::start().await;
        fake.add_plan("fibre", 20.0, "EUR");
        fake.add_plan("fibre_basic", 10.0, "EUR");
        fake.add_coupon("PARTNER", 10, "subscription");
        fake.add_coupon("VILLAGE", 10, "account");
        let provider = provider_at(&fake, fake.url());
        Self { fake, provider }
    }

    fn writes(&self, end: &str) -> usize {
        self.fake.seen().iter().filter(|s| s.method != "GET" && s.path.ends_with(end)).count()
    }
}

fn provider_at(fake: &FakeRecurly, url: &str) -> Arc<dyn Provider> {
    let settings = Settings {
        private_networks: true,
        // The fake holds each answer against a large description, which takes a while the first time.
        timeout: Duration::from_secs(3),
        first_wait: Duration::from_millis(2),
        ..Settings::default()
    };
    let connection = Connection {
        kind: ProviderKind::Recurly,
        scope: Scope::new("com_1", Mode::Test),
        base_url: Some(url.to_owned()),
        key: Some(fake.key()),
        site: None,
        account: None,
        webhook_secrets: vec!["the next one".into(), fake.webhook_secret()],
    };
    let tools = Tools::without_books(Http::new(settings).unwrap(), Arc::new(fake.clock().clone()));
    providers::open(&connection, &tools).unwrap()
}

#[async_trait]
impl Rig for RecurlyRig {
    fn provider(&self) -> Arc<dyn Provider> {
        self.provider.clone()
    }

    fn clock(&self) -> &MovedClock {
        self.fake.clock()
    }

    async fn subscription(&self) -> ExternalId {
        let account = self.fake.add_account("ada@example.com", "Ada");
        self.fake.add_subscription(&account, "code-fibre", "EUR").into()
    }

    async fn trial(&self) -> ExternalId {
        let account = self.fake.add_account("ada@example.com", "Ada");
        let until = kit::time::add_days(self.clock().now(), 14);
        self.fake.add_trial(&account, "code-fibre", "EUR", until).into()
    }

    async fn trial_from_the_start(&self) -> ExternalId {
        self.trial().await
    }

    fn other_price(&self) -> String {
        "fibre_basic:EUR".into()
    }

    async fn foreign_discount(&self, subscription: &ExternalId) {
        let s = self.fake.object("subscription", subscription.as_str()).unwrap();
        let account = s["account"]["id"].as_str().unwrap();
        let body =
            json!({"coupon_id": "code-PARTNER", "currency": "EUR", "subscription_id": subscription.as_str()});
        self.fake.act("POST", &["accounts", account, "coupon_redemptions", "active"], body);
    }

    async fn delivery(&self, _: &ExternalId) -> (Vec<(String, String)>, Vec<u8>) {
        let (headers, body) = self.fake.delivery("subscription", "created").unwrap();
        (headers, body.into_bytes())
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

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").unwrap())
}

#[tokio::test]
async fn a_repetition_after_an_hour_is_told_by_what_is_there() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let until = kit::time::add_days(p.subscription(&id).await.unwrap().period_end.unwrap(), 10);
    let acts = [
        (quarter_off(), "/coupon_redemptions/active"),
        (Act::Credit { amount: eur(500) }, "/line_items"),
        (Act::Refund { amount: eur(435), not_before: jiff::Timestamp::UNIX_EPOCH }, "/refund"),
        (Act::ExtendTerm { until }, id.as_str()),
        (Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::PeriodEnd }, "/change"),
        (Act::Pause { months: 2, resumes_at: until }, "/pause"),
        (Act::CancelAtPeriodEnd { feedback: None }, "/cancel"),
    ];
    for (act, end) in acts {
        let once = key(act.name());
        let first = p.apply(&id, &act, &once).await.unwrap();
        let before = p.subscription(&id).await.unwrap();
        rig.clock().advance(SignedDuration::from_mins(61));
        let again = p.apply(&id, &act, &once).await.unwrap();
        assert!(again.replayed && again.made == first.made, "{}: {again:?}", act.name());
        assert_eq!(p.subscription(&id).await.unwrap(), before, "{}", act.name());
        assert_eq!(rig.writes(end), 1, "{}", act.name());
    }
}

#[tokio::test]
async fn a_key_whose_answer_is_of_another_act_is_reused() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let account = p.subscription(&id).await.unwrap().customer;
    let other: ExternalId = rig.fake.add_subscription(account.as_str(), "code-fibre", "EUR").into();
    p.apply(&id, &quarter_off(), &key("k")).await.unwrap();
    // Of the same account: the address is the same, and Recurly does not look at the body.
    let reused = p.apply(&other, &quarter_off(), &key("k")).await;
    assert!(matches!(reused, Err(ProviderError::KeyReused)), "{reused:?}");
    p.apply(&id, &Act::Credit { amount: eur(500) }, &key("c")).await.unwrap();
    let reused = p.apply(&id, &Act::Credit { amount: eur(900) }, &key("c")).await;
    assert!(matches!(reused, Err(ProviderError::KeyReused)), "{reused:?}");
}

#[tokio::test]
async fn shares_are_whole_and_pauses_are_whole_cycles() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let odd = Act::Discount { cut: Cut::BasisPoints(2_550), term: Term::Once, keep: Keep::All };
    let refused = p.apply(&id, &odd, &key("d")).await;
    assert!(matches!(refused, Err(ProviderError::NotOffered("whole_percent"))), "{refused:?}");
    let plan = rig.fake.object("subscription", id.as_str()).unwrap()["plan"]["id"].clone();
    rig.fake.set(plan.as_str().unwrap(), json!({"interval_length": 12}));
    let fresh = provider_at(&rig.fake, rig.fake.url());
    let pause = Act::Pause { months: 2, resumes_at: kit::time::add_days(rig.clock().now(), 60) };
    let refused = fresh.apply(&id, &pause, &key("p")).await;
    assert!(matches!(refused, Err(ProviderError::NotOffered("whole_cycles"))), "{refused:?}");
    assert_eq!(rig.writes(""), 0);
}

#[tokio::test]
async fn an_account_s_own_discount_counts_and_is_left_alone() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let account = p.subscription(&id).await.unwrap().customer;
    let body = json!({"coupon_id": "code-VILLAGE", "currency": "EUR"});
    rig.fake.act("POST", &["accounts", account.as_str(), "coupon_redemptions", "active"], body);
    assert_eq!(p.subscription(&id).await.unwrap().mrr.minor, 1_800);
    let replace = Act::Discount { cut: Cut::percent(50), term: Term::Forever, keep: Keep::Only(vec![]) };
    p.apply(&id, &replace, &key("d")).await.unwrap();
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.discounts.len(), s.mrr.minor), (2, 900));
}

#[tokio::test]
async fn amounts_of_every_exponent_arrive_as_they_are() {
    let rig = RecurlyRig::start().await;
    let p = rig.provider();
    for (plan, amount, code, minor, off) in [
        ("yen", 1_980.0, "JPY", 1_980, 500),
        ("dinar", 4.355, "KWD", 4_355, 1_001),
        ("cents", 4.35, "USD", 435, 35),
    ] {
        rig.fake.add_plan(plan, amount, code);
        let account = rig.fake.add_account("ada@example.com", "Ada");
        let id: ExternalId = rig.fake.add_subscription(&account, &format!("code-{plan}"), code).into();
        assert_eq!(p.subscription(&id).await.unwrap().price.minor, minor);
        let off = Money::new(off, Currency::parse(code).unwrap());
        let act = Act::Discount { cut: Cut::Amount(off), term: Term::Forever, keep: Keep::All };
        p.apply(&id, &act, &key(&format!("d_{plan}"))).await.unwrap();
        assert_eq!(p.subscription(&id).await.unwrap().mrr.minor, minor - off.minor);
        let credit = p.apply(&id, &Act::Credit { amount: off }, &key(&format!("c_{plan}"))).await.unwrap();
        assert!(credit.made.is_some());
    }
}

#[tokio::test]
async fn a_past_due_invoice_shows_in_readings_and_in_later_passes() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.subscription().await;
    let pass = async |at: &Cursor| {
        let (mut seen, mut at) = (Vec::new(), at.clone());
        loop {
            let page = p.changes(&at).await.unwrap();
            seen.extend(page.changes.into_iter().filter_map(|c| match c {
                Change::Subscription(s) => Some(*s),
                Change::Customer(_) => None,
            }));
            at = page.next;
            if page.done {
                return (seen, at);
            }
        }
    };
    rig.clock().advance(SignedDuration::from_mins(10));
    let (_, at) = pass(&Cursor::start()).await;
    rig.clock().advance(SignedDuration::from_hours(2));
    rig.fake.fall_due(id.as_str());
    let s = p.subscription(&id).await.unwrap();
    assert_eq!((s.state, s.past_due_since), (State::PastDue, s.period_start));
    let (seen, at) = pass(&at).await;
    let states: Vec<_> = seen.iter().map(|s| (&s.id, s.state)).collect();
    assert_eq!(states, [(&id, State::PastDue)], "the subscription itself did not change");
    rig.clock().advance(SignedDuration::from_hours(2));
    rig.fake.pay(id.as_str());
    assert_eq!(pass(&at).await.0[0].state, State::Active);
}

#[tokio::test]
async fn what_passes_is_waited_out() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_next(&[Fault::TooMany, Fault::BrokenHtml, Fault::KeyInUse]);
    p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().discounts.len(), 1);
    rig.fake.fail_next(&[Fault::TooManyForLong]);
    match p.subscription(&id).await {
        Err(e @ ProviderError::Busy { .. }) => {
            let after = e.retry_after().unwrap();
            assert!(after > Duration::from_secs(200) && after <= Duration::from_secs(240), "{after:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_does_not_act_twice() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    // Read, listed, the coupon made; the discount is given, and nobody hears of it.
    rig.fake.fail_after(3, &[Fault::SilentAfterActing]);
    let receipt = p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    assert!(receipt.replayed, "the second try got the first one's answer");
    assert_eq!(p.subscription(&id).await.unwrap().discounts.len(), 1);
    rig.fake.fail_after(2, &[Fault::SilentAfterActing]);
    let receipt = p.apply(&id, &Act::Credit { amount: eur(500) }, &key("c")).await.unwrap();
    assert_eq!(p.given(&id, &key("c")).await.unwrap(), receipt.made);
}

#[tokio::test]
async fn a_refund_whose_answer_never_comes_goes_back_once_and_in_decimals() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let refund = |minor| Act::Refund { amount: eur(minor), not_before: jiff::Timestamp::UNIX_EPOCH };
    // Subscription, credit invoices and the paid invoice are read first.
    rig.fake.fail_after(3, &[Fault::SilentAfterActing]);
    let first = p.apply(&id, &refund(435), &key("r")).await.unwrap();
    rig.clock().advance(SignedDuration::from_mins(61));
    let again = p.apply(&id, &refund(435), &key("r")).await.unwrap();
    assert_eq!((again.replayed, &again.made), (true, &first.made));
    assert_eq!(p.given(&id, &key("r")).await.unwrap(), first.made);
    let credit = rig.fake.object("invoice", first.made.unwrap().as_str()).unwrap();
    assert_eq!((&credit["type"], &credit["total"]), (&json!("credit"), &json!(-4.35)));
    let reused = p.apply(&id, &refund(500), &key("r")).await;
    assert!(matches!(reused, Err(ProviderError::KeyReused)), "{reused:?}");
    // The bank did not move it: nothing was given.
    rig.fake.set(credit["id"].as_str().unwrap(), json!({"state": "failed"}));
    assert_eq!(p.given(&id, &key("r")).await.unwrap(), None);
}

#[tokio::test]
async fn a_server_that_stays_broken_leaves_the_act_uncertain() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_after(1, &[Fault::Broken; 4]);
    let failed = p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await.unwrap_err();
    assert!(failed.is_uncertain() && failed.is_passing(), "{failed:?}");
    assert_eq!(p.subscription(&id).await.unwrap().state, State::Active, "only the read-back knows");
    p.apply(&id, &Act::CancelAtPeriodEnd { feedback: None }, &key("c")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().state, State::NonRenewing);
}

#[tokio::test]
async fn refusals_say_what_is_wrong_with_the_connection() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fail_next(&[Fault::Forbidden]);
    assert!(matches!(p.subscription(&id).await, Err(ProviderError::LacksRight(_))));
    for fault in [Fault::Gibberish, Fault::Redirect, Fault::OtherVersion] {
        rig.fake.fail_next(&[fault]);
        let said = p.subscription(&id).await;
        assert!(matches!(said, Err(ProviderError::Unreadable(_))), "{fault:?}: {said:?}");
    }
    rig.fake.fail_next(&[Fault::Deprecated]);
    p.subscription(&id).await.unwrap();
    for (fault, expected) in [(Fault::Declined, "insufficient_funds"), (Fault::BareError, "validation")] {
        rig.fake.fail_next(&[fault]);
        let said = p.subscription(&id).await;
        assert!(matches!(&said, Err(ProviderError::Refused { slug, .. }) if slug == expected), "{said:?}");
    }
    assert_eq!(p.test().await.unwrap().live, Some(false));
    rig.fake.set_mode("production");
    assert_eq!(p.test().await.unwrap().live, Some(true));
    rig.fake.revoke_key();
    assert!(matches!(p.test().await, Err(ProviderError::Revoked)));
}

#[tokio::test]
async fn a_list_leads_nowhere_else_and_not_in_circles() {
    let (rig, other) = (RecurlyRig::start().await, FakeRecurly::start().await);
    let p = rig.provider();
    rig.subscription().await;
    rig.fake.next_pages_at(other.url());
    rig.fake.fail_next(&[Fault::ForeignNext]);
    let at = p.changes(&Cursor::start()).await.unwrap().next;
    let said = p.changes(&at).await;
    assert!(matches!(said, Err(ProviderError::Unreadable(_))), "{said:?}");
    assert_eq!(other.seen().len(), 0, "our key is told to nobody else");
    rig.fake.fail_next(&[Fault::RepeatedCursor; 3]);
    assert!(matches!(p.catalog().await, Err(ProviderError::Unreadable(_))));
}

#[tokio::test]
async fn the_catalogue_holds_plans_prices_and_the_company_s_coupons() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    p.apply(&id, &quarter_off(), &key("d")).await.unwrap();
    let catalog = p.catalog().await.unwrap();
    assert_eq!((catalog.plans.len(), catalog.prices.len(), catalog.coupons.len()), (2, 2, 2));
    assert!(catalog.prices.iter().any(|p| p.id == "fibre:EUR" && p.amount == Some(eur(2_000))));
    let dollars = Act::SwitchPlan { price_id: "fibre:USD".into(), at: SwitchAt::PeriodEnd };
    let refused = p.apply(&id, &dollars, &key("s")).await;
    assert!(matches!(refused, Err(ProviderError::Refused { slug, .. }) if slug == "other_currency"));
}

#[tokio::test]
async fn a_switch_that_waits_is_called_off_and_nobody_else_s_is_replaced() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    let at_end = Act::SwitchPlan { price_id: rig.other_price(), at: SwitchAt::PeriodEnd };
    p.apply(&id, &at_end, &key("1")).await.unwrap();
    let s = p.subscription(&id).await.unwrap();
    assert_eq!(s.pending_change.as_ref().unwrap().price_id, Some(rig.other_price()));
    assert_eq!((s.price_id.as_str(), s.pending_change.unwrap().at), ("fibre:EUR", s.period_end));
    rig.fake.add_plan("dsl", 15.0, "EUR");
    let other = Act::SwitchPlan { price_id: "dsl:EUR".into(), at: SwitchAt::Now { prorate: true } };
    let refused = p.apply(&id, &other, &key("2")).await;
    assert!(matches!(refused, Err(ProviderError::NotOffered("single_item_without_schedule"))));
    let back = Act::SwitchPlan { price_id: "fibre:EUR".into(), at: SwitchAt::Now { prorate: true } };
    p.apply(&id, &back, &key("3")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().pending_change, None);
    p.apply(&id, &at_end, &key("4")).await.unwrap();
    rig.clock().advance(SignedDuration::from_hours(24 * 32));
    assert_eq!(p.subscription(&id).await.unwrap().price_id, rig.other_price());
}

#[tokio::test]
async fn a_trial_ends_now_when_told_and_a_used_credit_is_charged_back() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.trial().await);
    let now = rig.clock().now();
    p.apply(&id, &Act::ExtendTrial { until: now }, &key("t")).await.unwrap();
    assert_eq!(p.subscription(&id).await.unwrap().state, State::Active);
    let made = p.apply(&id, &Act::Credit { amount: eur(500) }, &key("c")).await.unwrap().made.unwrap();
    rig.clock().advance(SignedDuration::from_hours(24 * 32));
    p.subscription(&id).await.unwrap();
    assert_eq!(p.given(&id, &key("c")).await.unwrap(), Some(made.clone()), "an invoice took it in");
    let take = Act::TakeCredit { credit: made, amount: eur(500) };
    p.apply(&id, &take, &key("t1")).await.unwrap();
    assert_eq!(p.given(&id, &key("c")).await.unwrap(), None);
    assert!(p.apply(&id, &take, &key("t2")).await.unwrap().replayed, "not twice");
    assert_eq!(rig.writes("/line_items"), 2);
}

#[tokio::test]
async fn invoices_and_payments_lead_to_their_subscription() {
    let rig = RecurlyRig::start().await;
    let (p, id) = (rig.provider(), rig.subscription().await);
    rig.fake.fall_due(id.as_str());
    for (object, event, kind) in
        [("charge_invoice", "past_due", FactKind::Invoice), ("payment", "failed", FactKind::PaymentFailed)]
    {
        let (headers, body) = rig.fake.delivery(object, event).unwrap();
        let call = InboundCall { headers: &headers, body: body.as_bytes(), now: rig.clock().now() };
        let fact = p.verify(&call).unwrap().remove(0);
        assert_eq!(fact.kind, kind);
        let s = p.subscription(fact.subscription.as_ref().unwrap()).await.unwrap();
        assert_eq!((s.id, s.state), (id.clone(), State::PastDue));
    }
    let gone = p.subscription(&"invoice:9999".into()).await;
    assert!(matches!(gone, Err(ProviderError::NotFound("subscription"))), "{gone:?}");
    let by_uuid = p.subscription(&format!("uuid-{:0>32}", id.as_str()).into()).await.unwrap();
    assert_eq!(by_uuid.id, id);
    let code = format!("code-code.{}@ada", by_uuid.customer);
    assert_eq!(p.customer(&code.into()).await.unwrap().id, by_uuid.customer);
}

#[tokio::test]
async fn xml_notifications_are_refused_with_the_reason() {
    let rig = RecurlyRig::start().await;
    let headers = [("content-type".to_owned(), "application/xml".to_owned())];
    let body = b"<?xml version=\"1.0\"?><new_subscription_notification/>";
    let said = rig.provider().verify(&InboundCall { headers: &headers, body, now: rig.clock().now() });
    assert!(matches!(said, Err(Rejected::Unsigned(text)) if text.contains("JSON")), "{said:?}");
}

#[tokio::test]
async fn a_closed_account_says_so() {
    let rig = RecurlyRig::start().await;
    let account = rig.fake.add_account("bob@example.com", "Bob");
    assert!(!rig.provider().customer(&account.as_str().into()).await.unwrap().deleted);
    rig.fake.set(&account, json!({"state": "inactive"}));
    assert!(rig.provider().customer(&account.into()).await.unwrap().deleted);
}
