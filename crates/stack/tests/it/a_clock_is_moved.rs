//! A company tries out, in test mode, what takes weeks: a renewal, a trial's end, a payment that fails until the
//! customer's card works again, and the case of it.

use serde_json::{Value, json};

use crate::company::Company;
use crate::world::World;

const CLOCK: &str = "/v1/test-clock";

fn row(id: &str, started_at: &str) -> Value {
    json!({
        "external_id": id, "email": format!("{id}@example.com"), "name": id, "currency": "GBP", "plan": "fibre",
        "price_minor": 2900, "interval": "month", "started_at": started_at,
    })
}

fn days_after(at: &Value, days: i64) -> String {
    kit::time::add_days(at.as_str().unwrap().parse().unwrap(), days).to_string()
}

#[tokio::test]
async fn a_renewal_a_trial_s_end_and_a_failed_payment_are_tried_out_in_test_mode() {
    let world = World::start().await;
    let company = Company::bare(&world).await;
    let live = company.admin.post("/v1/test-clock/advance", json!({ "seconds": 60 })).await.unwrap_err();
    assert!(stack::load::api::is_refused(&live, "test_mode_only"), "{live}");

    let admin = company.admin.with_header("retention-mode", "test".into());
    admin.put("/v1/billing/simulated", json!({})).await.unwrap();
    let clock = admin.get(CLOCK).await.unwrap();
    assert_eq!((&clock["state"], &clock["ahead_seconds"]), (&json!("ready"), &json!(0)));
    let now = &clock["now"];
    let mut rows = vec![row("ada", &days_after(now, -10)), row("ben", &days_after(now, -10))];
    rows.push(row("cleo", &days_after(now, 0)));
    rows[1]["payment"] = json!({ "state": "fails" });
    rows[2]["trial_end"] = json!(days_after(now, 14));
    // The gateway's clock is not to the millisecond the one of billing.
    rows[2]["started_at"] = json!(days_after(now, -1));
    admin.post("/v1/billing/simulated/fixtures", json!({ "rows": rows })).await.unwrap();
    admin.post("/v1/billing/simulated/sync", json!({})).await.unwrap();
    company.until(&admin, "/v1/billing/simulated", "the sync", |c| c["sync"]["state"] == "done").await;

    // Until a day after the periods of Ada and Ben ended.
    let of = |id: &str| format!("/v1/billing/simulated/subscriptions/sub_{id}");
    let ends = admin.get(&of("ada")).await.unwrap()["period_end"].clone();
    let until = json!({ "until": days_after(&ends, 1) });
    let moved = admin.post("/v1/test-clock/advance", until.clone()).await.unwrap();
    println!("{moved}");
    let there = company.until(&admin, CLOCK, "the clock", |c| c["state"] == "ready").await;
    assert!(there["now"].as_str().unwrap() >= until["until"].as_str().unwrap(), "{there}");
    let again = admin.post("/v1/test-clock/advance", until).await.unwrap();
    assert_eq!((&again["state"], &again["ahead_seconds"]), (&json!("ready"), &there["ahead_seconds"]));

    let ada = admin.get(&of("ada")).await.unwrap();
    println!("{ada}");
    let invoices = ada["invoices"].as_array().unwrap();
    assert_eq!((invoices.len(), &invoices[1]["paid_at"], &invoices[1]["at"]), (2, &ends, &ends));
    let cleo = admin.get(&of("cleo")).await.unwrap();
    println!("{cleo}");
    assert_eq!((&cleo["state"], cleo["invoices"].as_array().unwrap().len()), (&json!("active"), 1));
    let ben = admin.get(&of("ben")).await.unwrap();
    println!("{ben}");
    assert_eq!((&ben["state"], &ben["invoices"][1]["attempts"]), (&json!("past_due"), &json!(1)));
    let due = admin.get("/v1/subscriptions?state=past_due").await.unwrap();
    assert_eq!(
        (due["items"].as_array().unwrap().len(), &due["items"][0]["external_id"]),
        (1, &json!("sub_ben"))
    );
    let cases = admin.get("/v1/recovery/cases").await.unwrap();
    println!("{cases}");
    assert_eq!((cases["items"].as_array().unwrap().len(), &cases["items"][0]["state"]), (1, &json!("open")));

    let works = admin.put(&format!("{}/payment", of("ben")), json!({ "state": "ok" })).await.unwrap();
    assert_eq!((&works["state"], &works["invoices"][1]["attempts"]), (&json!("active"), &json!(2)));
    let paid = |page: &Value| page["items"][0]["state"] == "recovered";
    company.until(&admin, "/v1/recovery/cases", "the case", paid).await;
    let inbox = admin.get("/v1/inbound/events").await;
    println!("{inbox:?}");
    world.stack.stop().await.unwrap();
}
