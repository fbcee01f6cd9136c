use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::offer::tests::subscription;
use crate::providers::ExternalId;
use crate::subscription::tests::at;

fn said(email: &str) -> Said {
    Said { email: Some(email.into()), ..Said::default() }
}

#[test]
fn what_is_not_said_stays() {
    let ada = Customer::new("c1").with(&said(" Ada@Example.com "), Source::Api, at(1));
    let named = ada.with(&Said { name: Some("Ada".into()), ..Said::default() }, Source::Api, at(2));
    assert_eq!((named.email.as_str(), named.name.as_str()), ("ada@example.com", "Ada"));
}

#[test]
fn wrong_fields_are_named() {
    let bad = Said {
        email: Some("no".into()),
        country: Some("DEU".into()),
        currency: Some("EURO".into()),
        locale: Some("x".into()),
        links: BTreeMap::from([("paypal".into(), "1".into())]),
        ..Said::default()
    };
    let fields: Vec<_> = bad.faults().into_iter().map(|f| f.field).collect();
    assert_eq!(fields, ["email", "country", "currency", "locale", "provider_ids"]);
    assert!(said("ada@example.com").faults().is_empty() && said("").faults().is_empty());
}

#[test]
fn the_state_follows_from_the_subscriptions() {
    let c = Customer::new("c1");
    let running = subscription();
    let ended = Subscription { state: SubscriptionState::Ended, ..subscription() };
    let back = Subscription { reactivated: true, ..subscription() };
    let due = Subscription { state: SubscriptionState::PastDue, ..subscription() };
    assert_eq!(c.derived(&[], false).state, State::Prospect);
    assert_eq!(c.derived(std::slice::from_ref(&running), false).state, State::Active);
    assert_eq!(c.derived(std::slice::from_ref(&running), true).state, State::Saved);
    assert_eq!(c.derived(std::slice::from_ref(&ended), true).state, State::Churned);
    assert_eq!(c.derived(&[back], false).state, State::Reactivated);
    let both = c.derived(&[running, due, ended], false);
    assert_eq!((both.mrr.map(|m| m.minor), both.subscription_count, both.at_risk), (Some(4_000), 3, true));
}

#[test]
fn the_provider_fills_gaps_first_and_tells_of_changes_later() {
    let seen = |email: &str, version| CustomerSnapshot {
        id: ExternalId::new("cus_p"),
        email: Some(email.into()),
        name: Some("Ada L".into()),
        currency: Some("EUR".into()),
        locale: None,
        country: None,
        created_at: at(0),
        deleted: false,
        metadata: BTreeMap::new(),
        provider_version: version,
    };
    let ours = Customer::new("c1").with(&said("own@example.com"), Source::Api, at(1));
    let linked = ours.linked(ProviderKind::Stripe, &seen("a@example.com", 5));
    assert_eq!((linked.email.as_str(), linked.name.as_str()), ("own@example.com", "Ada L"));
    let later = linked.linked(ProviderKind::Stripe, &seen("b@example.com", 6));
    assert_eq!(later.email, "b@example.com");
    assert_eq!(
        later.linked(ProviderKind::Stripe, &seen("old@example.com", 4)),
        later,
        "an older word is ignored"
    );
}

#[test]
fn attributes_have_their_types() {
    let d = |t| Definition {
        key: "k".into(),
        r#type: t,
        source: Source::Api,
        personal: false,
        in_rules: true,
        in_text: false,
    };
    for (t, good, bad) in [
        (Type::Bool, json!(true), json!("true")),
        (Type::Int, json!(3), json!(3.5)),
        (Type::Decimal, json!(3.5), json!("3.5")),
        (Type::Text, json!("x"), json!(1)),
        (Type::Date, json!("2026-11-02"), json!("yesterday")),
        (Type::Date, json!("2026-11-02T10:00:00Z"), json!("2026-13-02")),
        (Type::List, json!(["a"]), json!([1])),
    ] {
        assert_eq!(d(t).refuses(&good), None, "{good}");
        assert!(d(t).refuses(&bad).is_some(), "{bad}");
        assert_eq!(d(t).refuses(&Value::Null), None);
    }
    let wrong = attribute_faults(&BTreeMap::from([("a".into(), json!(1))]), &BTreeMap::new());
    assert_eq!(wrong[0].code, "unknown_attribute");
}

proptest! {
    #[test]
    fn invariant_9_observations_in_any_order_leave_the_newest(
        values in prop::collection::vec(prop_oneof![Just(Value::Null), (0..3).prop_map(|n| json!(n))], 6),
        order in Just((0_i64..6).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let mut c = Customer::new("c1");
        // Some say the same, some that there is nothing; and two are told twice.
        for day in order.iter().chain(&[5, 0]) {
            let said = BTreeMap::from([("k".into(), values[*day as usize].clone())]);
            c.observe(&said, Source::Api, Some(at(*day)), at(9));
        }
        prop_assert_eq!(&c.attributes["k"].value, &values[5]);
        prop_assert_eq!(c.values().count(), usize::from(!values[5].is_null()));
    }
}
