//! The evaluator in Rust and the expression in MongoDB agree on every rule and every customer.

use analytics_svc::rules::{EventCounts, Facts, Op, Operand, Rule, Value, event_key, expression, holds};
use bson::doc;
use futures_util::TryStreamExt;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        (-3_i32..4).prop_map(|n| Value::Number(f64::from(n))),
        prop_oneof![Just(0.5), Just(-0.0), Just(1e15), Just(-1e-9)].prop_map(Value::Number),
        select(vec!["", "a", "ab", "b", "B", "ä", "$a", "$$ROOT", "a.b", "1", "true", "%.*"])
            .prop_map(|t| Value::Text(t.to_string())),
    ]
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["k1", "k2", "k3", "k4"]).prop_map(|t| t.to_string())
}

fn rule() -> impl Strategy<Value = Rule> {
    let op =
        prop_oneof![Just(Op::Eq), Just(Op::Ne), Just(Op::Lt), Just(Op::Lte), Just(Op::Gt), Just(Op::Gte),];
    let text = select(vec!["", "a", "b", "$", ".", "ä"]).prop_map(|t| Value::Text(t.to_string()));
    let test = prop_oneof![
        4 => (op, value()).prop_map(|(op, value)| Operand::Compare { op, value }),
        1 => text.prop_map(|value| Operand::Compare { op: Op::Contains, value }),
        1 => proptest::collection::vec(value(), 1..4).prop_map(Operand::In),
        1 => any::<bool>().prop_map(Operand::Exists),
    ];
    let leaf = prop_oneof![
        4 => (key(), test).prop_map(|(key, test)| Rule::Fact { key, test }),
        1 => (select(vec!["login", "a.b-c"]), 1_u32..3, 1_u32..4).prop_map(|(name, within_days, at_least)| Rule::Event { name: name.to_string(), within_days, at_least }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Rule::All),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Rule::Any),
            inner.prop_map(|r| Rule::Not(Box::new(r))),
        ]
    })
}

fn customer() -> impl Strategy<Value = (Facts, EventCounts)> {
    let facts = proptest::collection::btree_map(key(), value(), 0..4);
    let event = (select(vec!["login", "a.b-c"]), 1_u32..3).prop_map(|(n, d)| event_key(n, d));
    (facts, proptest::collection::btree_map(event, 0_u32..5, 0..4))
}

#[tokio::test]
async fn both_evaluators_agree() {
    let test = testkit::mongo().await;
    let all = test.db("rules").await.collection::<bson::Document>("customers");
    let mut runner = TestRunner::deterministic();
    let mut sample =
        |n| -> Vec<_> { (0..n).map(|_| customer().new_tree(&mut runner).unwrap().current()).collect() };
    let customers = sample(150);
    let documents = customers.iter().enumerate().map(|(i, (facts, events))| {
        let facts = bson::serialize_to_bson(facts).unwrap();
        doc! { "_id": i as i64, "body": { "facts": facts, "events": bson::serialize_to_bson(events).unwrap() } }
    });
    all.insert_many(documents).await.unwrap();
    for _ in 0..400 {
        let rule = rule().new_tree(&mut runner).unwrap().current();
        let query = doc! { "$expr": expression(&rule, "body.facts", "body.events") };
        let found: Vec<_> =
            all.find(query).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap();
        let database: Vec<_> = found.iter().map(|d| d.get_i64("_id").unwrap()).collect();
        let rust: Vec<_> =
            (0..).zip(&customers).filter(|(_, (f, e))| holds(&rule, f, e)).map(|(i, _)| i).collect();
        assert_eq!(database, rust, "{rule:?}");
    }
}

proptest! {
    #[test]
    fn a_stored_rule_comes_back_the_same(rule in rule()) {
        let stored = bson::serialize_to_bson(&rule).unwrap();
        prop_assert_eq!(bson::deserialize_from_bson::<Rule>(stored).unwrap(), rule);
    }
}
