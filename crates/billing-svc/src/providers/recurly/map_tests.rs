use serde_json::{Value, json};

use super::*;

fn at() -> Timestamp {
    "2026-11-10T12:00:00Z".parse().unwrap()
}

fn subscription_with(changes: Value) -> wire::Subscription {
    let mut whole = json!({
        "id": "sub1", "account": {"id": "acc1", "code": "ada"}, "plan": {"id": "pln1", "code": "fibre"},
        "state": "active", "currency": "EUR", "quantity": 2,
        "current_period_started_at": "2026-11-01T00:00:00Z", "current_period_ends_at": "2026-12-01T00:00:00Z",
        "created_at": "2026-10-01T00:00:00Z", "updated_at": "2026-11-01T00:00:01Z",
    });
    for (key, value) in changes.as_object().unwrap() {
        whole[key] = value.clone();
    }
    // As text, for amounts are read from it.
    let text = whole.to_string().replacen("\"currency\"", "\"unit_amount\":10.10,\"currency\"", 1);
    serde_json::from_str(&text).unwrap()
}

fn plan(unit: &str, length: u32) -> wire::Plan {
    let plan = json!({"id": "pln1", "code": "fibre", "name": "Fibre", "interval_unit": unit, "interval_length": length});
    serde_json::from_str(&plan.to_string()).unwrap()
}

fn redemption(changes: Value) -> wire::Redemption {
    let mut whole = json!({
        "id": "red1", "subscription_id": "sub1", "state": "active", "created_at": "2026-11-01T00:00:00Z",
        "remaining_duration": {"type": "forever"},
        "coupon": {"id": "cpn1", "code": "PARTNER", "name": "Partner", "state": "redeemable", "duration": "forever",
                   "discount": {"type": "percent", "percent": 10}, "applies_to_all_plans": true},
    });
    for (key, value) in changes.as_object().unwrap() {
        if let Some(inner) = value.as_object().filter(|_| whole[key].is_object()) {
            inner.iter().for_each(|(k, v)| whole[key][k] = v.clone());
        } else {
            whole[key] = value.clone();
        }
    }
    serde_json::from_str(&whole.to_string()).unwrap()
}

fn snapshot(s: &wire::Subscription, redemptions: &[wire::Redemption]) -> Snapshot {
    let plan = plan("months", 1);
    subscription(&Read { subscription: s, plan: &plan, redemptions, past_due_since: None }, at()).unwrap()
}

#[test]
fn states_follow_the_table() {
    use State::*;
    let trial = json!({"trial_started_at": "2026-11-01T00:00:00Z", "trial_ends_at": "2026-11-20T00:00:00Z"});
    let over = json!({"trial_started_at": "2026-10-01T00:00:00Z", "trial_ends_at": "2026-11-01T00:00:00Z"});
    let waits = json!({"paused_at": "2026-12-01T00:00:00Z", "remaining_pause_cycles": 2});
    let rows = [
        ("future", json!({}), false, Pending),
        ("active", trial.clone(), false, Trialing),
        ("active", over, false, Active),
        ("active", json!({}), false, Active),
        ("active", json!({}), true, PastDue),
        ("active", waits, false, Active),
        ("paused", json!({"paused_at": "2026-11-01T00:00:00Z"}), false, Paused),
        ("canceled", json!({"expires_at": "2026-12-01T00:00:00Z"}), false, NonRenewing),
        ("canceled", trial, true, NonRenewing),
        ("expired", json!({"expires_at": "2026-11-01T00:00:00Z"}), true, Ended),
        ("failed", json!({}), false, Ended),
    ];
    for (name, mut changes, past_due, expected) in rows {
        changes["state"] = json!(name);
        let s = subscription_with(changes.clone());
        assert_eq!(state(&s, past_due, at()).unwrap(), expected, "{changes}");
    }
    assert!(state(&subscription_with(json!({"state": "dormant"})), false, at()).is_err());
}

#[test]
fn the_fields_say_what_the_state_does_not() {
    let s =
        snapshot(&subscription_with(json!({"state": "canceled", "expires_at": "2026-12-01T00:00:00Z"})), &[]);
    assert_eq!((s.cancel_at, s.ended_at), (s.period_end, None));
    let s =
        snapshot(&subscription_with(json!({"state": "expired", "expires_at": "2026-11-05T00:00:00Z"})), &[]);
    assert_eq!((s.ended_at, s.mrr.minor), (Some("2026-11-05T00:00:00Z".parse().unwrap()), 0));
    let waits = json!({"paused_at": "2026-12-01T00:00:00Z", "resume_at": "2027-02-01T00:00:00Z"});
    let s = snapshot(&subscription_with(waits), &[]);
    assert_eq!((s.paused_at, s.pause_kind), (s.period_end, Some(PauseKind::Subscription)));
    let s = snapshot(&subscription_with(json!({"add_ons": [{}, {}], "ramp_intervals": [{}]})), &[]);
    assert_eq!((s.item_count, s.schedule_attached), (3, true));
    let change = json!({"pending_change": {"plan": {"id": "pln2", "code": "basic"}, "activate_at": "2026-12-01T00:00:00Z"}});
    let s = snapshot(&subscription_with(change), &[]);
    assert_eq!(s.pending_change.unwrap().price_id.as_deref(), Some("basic:EUR"));
    assert_eq!((s.price_id.as_str(), s.provider_version), ("fibre:EUR", 1_793_491_201_000));
}

#[test]
fn discounts_and_price_make_the_revenue() {
    let s = subscription_with(json!({}));
    assert_eq!(snapshot(&s, &[]).mrr.minor, 2_020);
    let for_account = redemption(json!({"subscription_id": null}));
    let other = redemption(json!({"subscription_id": "sub2"}));
    let gone = redemption(json!({"state": "inactive"}));
    let got = snapshot(&s, &[for_account, other, gone]);
    assert_eq!((got.mrr.minor, got.discounts.len(), got.discounts[0].retention), (1_818, 1, false));
    let elsewhere = redemption(json!({"subscription_id": null,
        "coupon": {"applies_to_all_plans": false, "plans": [{"id": "p", "code": "dsl"}]}}));
    assert_eq!(snapshot(&s, &[elsewhere]).mrr.minor, 2_020, "a coupon for another plan");
    let free = redemption(json!({"coupon": {"discount": {"type": "free_trial"}}}));
    assert_eq!(snapshot(&s, &[free]).discounts, []);
    let ours = redemption(
        json!({"coupon": {"code": "retention-x", "duration": "temporal", "temporal_amount": 3,
        "temporal_unit": "month"}, "remaining_duration": {"type": "temporal", "expires_at": "2027-02-01T00:00:00Z"}}),
    );
    let got = snapshot(&s, &[ours]).discounts[0].clone();
    assert_eq!((got.term, got.retention, got.end.is_some()), (Term::Months(3), true, true));
}

#[test]
fn amounts_off_are_those_of_the_subscription_s_currency() {
    let text = r#"{"id":"red1","subscription_id":"sub1","state":"active","created_at":"2026-11-01T00:00:00Z",
        "coupon":{"id":"c","code":"FIVE","duration":"single_use","discount":{"type":"fixed","currencies":[
            {"currency":"JPY","amount":500},{"currency":"EUR","amount":4.35}]}}}"#;
    let fixed: wire::Redemption = serde_json::from_str(text).unwrap();
    let got = snapshot(&subscription_with(json!({})), &[fixed]);
    let eur = Money::new(435, Currency::parse("EUR").unwrap());
    assert_eq!((got.discounts[0].cut, got.discounts[0].term), (Cut::Amount(eur), Term::Once));
}

#[test]
fn intervals_are_made_of_days_and_months() {
    for (unit, length, expected) in [
        ("months", 1, (Interval::Month, 1)),
        ("months", 12, (Interval::Year, 1)),
        ("months", 6, (Interval::Month, 6)),
        ("days", 14, (Interval::Week, 2)),
        ("days", 10, (Interval::Day, 10)),
    ] {
        assert_eq!(interval(&plan(unit, length)).unwrap(), expected);
    }
}
