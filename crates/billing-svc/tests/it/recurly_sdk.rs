//! The adapter beside Recurly's own SDK: for the same wish both send the same request.

use std::collections::BTreeMap;

use billing_svc::providers::{Act, Cut, ExternalId, IdempotencyKey, Keep, SwitchAt, Term};
use jiff::SignedDuration;
use kit::clock::Clock;
use kit::{Currency, Money};
use serde_json::{Value, json};

use crate::provider_contract::Rig;
use crate::recurly::RecurlyRig;

/// What says how something is to be done; the rest says what with, and need only be of the same kind.
const HOW: [&str; 13] = [
    "type",
    "refund_method",
    "discount_type",
    "duration",
    "temporal_unit",
    "redemption_resource",
    "applies_to_all_plans",
    "applies_to_non_plan_charges",
    "max_redemptions",
    "timeframe",
    "charge",
    "credit",
    "credit_reason_code",
];

fn shape(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let of = |(k, v): (&String, &Value)| {
                let kept = HOW.contains(&k.as_str()) && !v.is_object();
                (k.clone(), if kept { v.clone() } else { shape(v) })
            };
            Value::Object(fields.iter().map(of).collect())
        }
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        other => other.clone(),
    }
}

/// Does an act and answers the writes it took, ids replaced by what they are of.
async fn sent(rig: &RecurlyRig, id: &ExternalId, act: Act) -> Vec<Value> {
    let before = rig.fake.seen().len();
    let key = IdempotencyKey::new(kit::id::new("rdm"));
    rig.provider().apply(id, &act, &key).await.unwrap();
    // The fake's ids: three letters and a number.
    let named = |step: &str| match step.split_at_checked(3) {
        Some((kind, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => {
            match kind {
                "acc" => "{account}",
                "sub" => "{subscription}",
                "red" => "{redemption}",
                "lin" => "{line_item}",
                _ => "{invoice}",
            }
            .to_owned()
        }
        _ => step.to_owned(),
    };
    let seen = rig.fake.seen();
    let writes = seen[before..].iter().filter(|s| s.method != "GET");
    writes
        .map(|s| {
            let path: Vec<_> = s.path.split('/').map(named).collect();
            let mut body = s.body.clone();
            // The SDK was given these as they are, and they are no text of ours.
            for field in ["coupon_id", "subscription_id"] {
                if body[field].is_string() {
                    body[field] = json!("{id}");
                }
            }
            json!({"method": s.method, "path": path.join("/"), "query": s.query, "body": shape(&body)})
        })
        .collect()
}

#[tokio::test]
async fn the_sdk_sends_the_same_for_the_same_wish() {
    let recorded: BTreeMap<String, Value> =
        serde_json::from_str(include_str!("recurly_sdk/requests.json")).unwrap();
    let expected = |name: &str| {
        let r = &recorded[name];
        let query = r["query"].as_str().unwrap().trim_start_matches('?');
        json!({"method": r["method"], "path": r["path"], "query": query, "body": shape(&r["body"])})
    };
    let rig = RecurlyRig::start().await;
    let p = rig.provider();
    let (id, trial) = (rig.subscription().await, rig.trial().await);
    let eur = |minor| Money::new(minor, Currency::parse("EUR").unwrap());
    let discount = |cut, term| Act::Discount { cut, term, keep: Keep::All };
    let later = kit::time::add_days(rig.clock().now(), 45);
    let basic = || rig.other_price();
    let mut seen = BTreeMap::new();
    let mut note = |names: &[&str], writes: Vec<Value>| {
        assert_eq!(writes.len(), names.len(), "{names:?}: {writes:?}");
        for (name, write) in names.iter().zip(writes) {
            assert_eq!(write, expected(name), "{name}");
            seen.insert((*name).to_owned(), ());
        }
    };
    note(&["coupon", "redeem"], sent(&rig, &id, discount(Cut::percent(25), Term::Months(3))).await);
    let made = p.subscription(&id).await.unwrap().discounts[0].id.clone();
    note(&["remove_discount"], sent(&rig, &id, Act::RemoveDiscount { discount: made }).await);
    let amount = discount(Cut::Amount(eur(525)), Term::Once);
    note(&["coupon_of_an_amount", "redeem"], sent(&rig, &id, amount).await);
    let pause = Act::Pause { months: 2, resumes_at: later };
    note(&["pause"], sent(&rig, &id, pause.clone()).await);
    note(&["unpause"], sent(&rig, &id, Act::Resume).await);
    let at_end = Act::SwitchPlan { price_id: basic(), at: SwitchAt::PeriodEnd };
    note(&["switch_at_bill_date"], sent(&rig, &id, at_end).await);
    let back = Act::SwitchPlan { price_id: "fibre:EUR".into(), at: SwitchAt::Now { prorate: true } };
    note(&["call_off_switch"], sent(&rig, &id, back).await);
    let now = Act::SwitchPlan { price_id: basic(), at: SwitchAt::Now { prorate: true } };
    note(&["switch_now"], sent(&rig, &id, now).await);
    note(&["bill_on"], sent(&rig, &id, Act::ExtendTerm { until: later }).await);
    note(&["bill_on"], sent(&rig, &trial, Act::ExtendTrial { until: later }).await);
    note(&["end_trial"], sent(&rig, &trial, Act::ExtendTrial { until: rig.clock().now() }).await);
    let credit = IdempotencyKey::new("credit");
    note(&["credit"], sent(&rig, &id, Act::Credit { amount: eur(525) }).await);
    let made = p.apply(&id, &Act::Credit { amount: eur(525) }, &credit).await.unwrap().made.unwrap();
    note(&["take_credit"], sent(&rig, &id, Act::TakeCredit { credit: made, amount: eur(525) }).await);
    let refund = Act::Refund { amount: eur(525), not_before: jiff::Timestamp::UNIX_EPOCH };
    note(&["refund"], sent(&rig, &id, refund).await);
    note(&["cancel"], sent(&rig, &id, Act::CancelAtPeriodEnd { feedback: None }).await);
    note(&["undo_cancel"], sent(&rig, &id, Act::UndoCancel).await);
    p.apply(&id, &pause, &IdempotencyKey::new("pause")).await.unwrap();
    rig.clock().advance(later.duration_since(rig.clock().now()) + SignedDuration::from_hours(1));
    note(&["resume"], sent(&rig, &id, Act::Resume).await);
    note(&["cancel_now"], sent(&rig, &id, Act::CancelNow { feedback: None }).await);
    let left: Vec<_> = recorded.keys().filter(|name| !seen.contains_key(*name)).collect();
    assert!(left.is_empty(), "recorded, and not sent by us: {left:?}");
}
