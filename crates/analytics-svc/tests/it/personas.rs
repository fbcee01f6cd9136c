//! Who is in which persona: at once by events, and by a full refresh.

use analytics_svc::persona::{Category, GuardRails, Persona, Status};
use analytics_svc::rules::{Op, Operand, Rule, Value};
use kit::PageRequest;
use proto::events::event::Data;
use proto::events::{CustomerErased, FlowSessionChanged, PaymentChanged};

use crate::world::World;

fn fact(key: &str, op: Op, value: impl Into<Value>) -> Rule {
    Rule::Fact { key: key.into(), test: Operand::Compare { op, value: value.into() } }
}

pub fn persona(name: &str, rule: Rule, category: Option<String>) -> Persona {
    Persona {
        name: name.into(),
        description: String::new(),
        category,
        rule,
        priority: 0,
        status: Status::Draft,
        guard_rails: GuardRails { max_discount_percent: 30, allowed_offer_kinds: Vec::new() },
        refresh_hours: 24,
    }
}

impl World {
    pub async fn active(&self, persona: Persona) -> String {
        let (made, _) = self.rooms.personas.create(&self.caller, persona).await.unwrap();
        self.rooms.personas.enter(&self.caller, &made.id, Status::Active).await.unwrap();
        made.id
    }

    async fn names(&self, customer: &str) -> Vec<String> {
        let seen = self.rooms.customers.see(&self.scope, customer).await.unwrap().unwrap();
        seen.personas.iter().map(|(id, _)| seen.board.get(id).unwrap().name.clone()).collect()
    }
}

#[tokio::test]
async fn a_refresh_and_the_live_evaluation_agree_and_say_why() {
    let world = World::new().await;
    for n in 0..40 {
        let months = i64::try_from(n).unwrap();
        world.tell(&[world.customer(n, 1), world.subscription(n, 1, "active", months)]).await;
    }
    let young =
        Rule::All(vec![fact("contract", Op::Eq, "Month-to-month"), fact("tenure_months", Op::Lte, 12.0)]);
    let id = world.active(persona("young", young, None)).await;
    world.work().await;
    let members = world.rooms.personas.members(&world.scope, &id, &PageRequest::new(100, "")).await.unwrap();
    let (stored, standing) = world.rooms.personas.get(&world.scope, &id).await.unwrap();
    assert_eq!(standing.size, members.items.len() as u64);
    assert_eq!(stored.version, 2, "a refresh leaves the persona's version alone");
    assert!((5..=8).contains(&members.items.len()), "{}", members.items.len());
    let first = &members.items[0].body;
    assert_eq!(first.personas[0].why, "contract is Month-to-month and tenure_months is at most 12 (0)");
    for n in 0..40 {
        let is = members.items.iter().any(|m| m.id == format!("cus_{n:05}"));
        assert_eq!(world.names(&format!("ext-{n}")).await.len() == 1, is, "customer {n}");
    }
    // Leaves with the next event about it.
    world.clock.advance(jiff::SignedDuration::from_hours(24 * 400));
    world.tell(&[world.subscription(0, 2, "active", 14)]).await;
    assert!(world.names("cus_00000").await.is_empty());
    let (customer, _) = world.rooms.personas.of_customer(&world.scope, "cus_00000").await.unwrap();
    assert_eq!(customer.body.past.len(), 1);
}

#[tokio::test]
async fn of_an_exclusive_category_the_strongest_wins_in_both_ways() {
    let world = World::new().await;
    let category = Category {
        name: "value".into(),
        parent: None,
        order: 1,
        exclusive: true,
        colour: String::new(),
        archived: false,
    };
    let category = world.rooms.categories.create(&world.caller, category).await.unwrap().id;
    world.active(persona("first", fact("country", Op::Eq, "US"), Some(category.clone()))).await;
    world.active(persona("second", fact("country", Op::Eq, "US"), Some(category.clone()))).await;
    world.active(persona("everybody", Rule::All(Vec::new()), None)).await;
    world.tell(&[world.customer(1, 1)]).await;
    assert_eq!(world.names("ext-1").await, ["first", "everybody"]);
    let before = world.everything(&["customers"]).await;
    world.work().await;
    assert_eq!(world.everything(&["customers"]).await, before, "the refresh finds nothing to change");
    assert!(world.rooms.categories.delete(&world.caller, &category).await.is_err(), "it is in use");
}

#[tokio::test]
async fn invariant_9_the_same_events_again_in_any_order_change_nothing() {
    let world = World::new().await;
    world.active(persona("saved once", fact("earlier_saves", Op::Gte, 1.0), None)).await;
    let flow = |sequence, state: &str| {
        let data = FlowSessionChanged {
            flow_session_id: "fls_1".into(),
            customer_id: "cus_00001".into(),
            subscription_id: "sub_00001".into(),
            state: state.into(),
            reason_category: "price".into(),
            started_at: Some(kit::time::to_proto("2031-01-01T00:00:00Z".parse().unwrap())),
            ..Default::default()
        };
        let kind = if state == "saved" { "flow.session.saved" } else { "flow.session.started" };
        world.incoming(kind, "fls_1", sequence, Data::FlowSessionChanged(data))
    };
    let failed = PaymentChanged { customer_id: "cus_00001".into(), ..Default::default() };
    let events = vec![
        world.customer(1, 1),
        world.subscription(1, 1, "active", 3),
        flow(1, "active"),
        world.incoming("payment.failed", "sub_00001", 1, Data::PaymentChanged(failed)),
        world.subscription(1, 2, "non_renewing", 3),
        flow(2, "saved"),
        world.customer(1, 2),
    ];
    for event in &events {
        world.tell(std::slice::from_ref(event)).await;
    }
    let kept = ["customers", "flow_sessions", "subscription_turns", "redemptions"];
    let once = world.everything(&kept).await;
    assert!(once.contains("saved once") || once.contains("earlier_saves"), "{once}");
    world.tell(&events).await;
    for event in events.iter().rev() {
        world.tell(std::slice::from_ref(event)).await;
    }
    assert_eq!(world.everything(&kept).await, once);
}

#[tokio::test]
async fn refunds_and_disputes_are_facts_of_a_customer() {
    let world = World::new().await;
    let back = |kind: &str, n: i64| {
        let data = PaymentChanged { customer_id: "cus_00001".into(), ..Default::default() };
        world.incoming(kind, &format!("inb_{n}"), 1, Data::PaymentChanged(data))
    };
    let events = [
        world.customer(1, 1),
        world.subscription(1, 1, "active", 3),
        back("payment.refunded", 1),
        back("payment.refunded", 2),
        back("payment.disputed", 3),
    ];
    world.tell(&events).await;
    world.tell(&events).await;
    let seen = world.rooms.customers.see(&world.scope, "ext-1").await.unwrap().unwrap();
    assert_eq!(
        (&seen.facts["refunds_90d"], &seen.facts["disputes_90d"]),
        (&Value::from(2.0), &Value::from(1.0))
    );
    assert_eq!(seen.facts["failed_payments_90d"], Value::from(0.0));
}

#[tokio::test]
async fn events_of_two_families_at_once_lose_nothing() {
    let world = World::new().await;
    world.active(persona("everybody", Rule::All(Vec::new()), None)).await;
    let customers: Vec<_> = (0..100).map(|n| world.customer(n, 1)).collect();
    let subscriptions: Vec<_> = (0..100).map(|n| world.subscription(n, 1, "active", 5)).collect();
    tokio::join!(world.tell(&customers), world.tell(&subscriptions));
    for n in [0, 50, 99] {
        let seen = world.rooms.customers.see(&world.scope, &format!("ext-{n}")).await.unwrap().unwrap();
        assert_eq!(seen.facts["plan"], Value::from("fibre"));
        assert_eq!(
            seen.facts["contract"],
            Value::from(if n % 2 == 0 { "Month-to-month" } else { "Two year" })
        );
    }
}

#[tokio::test]
async fn an_erased_customer_is_gone_and_does_not_come_back() {
    let world = World::new().await;
    world.active(persona("everybody", Rule::All(Vec::new()), None)).await;
    world.tell(&[world.customer(1, 1)]).await;
    let erased = CustomerErased { customer_id: "cus_00001".into() };
    world.tell(&[world.incoming("customer.erased", "cus_00001", 2, Data::CustomerErased(erased))]).await;
    world.tell(&[world.customer(1, 1)]).await;
    assert!(world.rooms.customers.get(&world.scope, "cus_00001").await.is_err());
    let left = world.everything(&["customers"]).await;
    assert!(!left.contains("example.com") && !left.contains("ext-1"), "{left}");
}

#[tokio::test]
async fn invariant_4_another_company_sees_nothing() {
    let world = World::new().await;
    let id = world.active(persona("everybody", Rule::All(Vec::new()), None)).await;
    world.tell(&[world.customer(1, 1)]).await;
    for scope in [kit::Scope::new("com_2", kit::Mode::Live), kit::Scope::new("com_1", kit::Mode::Test)] {
        assert!(world.rooms.customers.see(&scope, "cus_00001").await.unwrap().is_none());
        assert!(world.rooms.personas.get(&scope, &id).await.is_err());
        let all = world.rooms.personas.list(&scope, None, &PageRequest::new(10, "")).await.unwrap();
        assert!(all.items.is_empty());
    }
}

#[tokio::test]
async fn a_rule_over_events_counts_them_live_and_in_a_refresh() {
    let world = World::new().await;
    let _running = world.run();
    let active = Rule::Event { name: "login".into(), within_days: 30, at_least: 2 };
    let id = world.active(persona("active", active, None)).await;
    world.tell(&[world.customer(1, 1), world.customer(2, 1)]).await;
    for i in 0..2 {
        let event = analytics_svc::user_events::NewEvent {
            id: format!("e{i}"),
            name: "login".into(),
            customer: if i == 0 { "ext-1".into() } else { "cus_00001".into() },
            properties: Some(bson::RawDocumentBuf::new()),
            occurred_at: None,
            source: String::new(),
        };
        world.rooms.events.record(&world.scope, vec![event]).await.unwrap();
    }
    assert_eq!(world.names("ext-1").await, ["active"]);
    assert!(world.names("ext-2").await.is_empty());
    world.rooms.personas.refresh(&world.caller).await.unwrap();
    world.work().await;
    let members = world.rooms.personas.members(&world.scope, &id, &PageRequest::new(10, "")).await.unwrap();
    assert_eq!(members.items.len(), 1);
}

#[tokio::test]
async fn a_preview_counts_without_changing_anything() {
    let world = World::new().await;
    let customers: Vec<_> = (0..20).map(|n| world.customer(n, 1)).collect();
    world.tell(&customers).await;
    let before = world.everything(&["customers", "personas"]).await;
    let rule = fact("contract", Op::Eq, "Two year");
    let preview = world.rooms.personas.preview(&world.scope, &rule).await.unwrap();
    assert_eq!((preview.size, preview.of, preview.sample.len()), (10, 20, 10));
    assert_eq!(preview.sample[0].2, "contract is Two year");
    assert_eq!(world.everything(&["customers", "personas"]).await, before);
}
