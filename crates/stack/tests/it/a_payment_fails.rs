//! Payments fail at Stripe, and the company writes to its customers: one pays, one leaves, one still owes.

use std::time::SystemTime;

use jiff::SignedDuration;
use serde_json::{Value, json};
use stack::load::api::text;
use testkit::stripe::FakeStripe;

use crate::company::Company;
use crate::world::World;

fn mail(day: u32, subject: &str) -> Value {
    let words = |en: &str| json!({ "default_locale": "en", "texts": { "en": en } });
    json!({
        "kind": "mail", "day": day, "subject": words(subject),
        "body": words("Dear {{name}},\n\n{{amount_due}} is still open."), "link": "https://www.example.com/billing",
    })
}

fn campaign() -> Value {
    let variable = |key: &str, words: &str| json!({ "key": key, "fallback": { "default_locale": "en", "texts": { "en": words } } });
    json!({
        "name": "Failed cards",
        "plan": {
            "steps": [mail(0, "Your payment failed"), mail(1, "Your payment is a day late")],
            "variables": [variable("name", "customer"), variable("amount_due", "Your invoice")],
        },
    })
}

/// How many mails went to an address.
fn mails(world: &World, to: &str) -> usize {
    let files = std::fs::read_dir(world.file("mail")).unwrap().flatten();
    let texts = files.filter_map(|f| std::fs::read_to_string(f.path()).ok());
    texts.filter(|text| text.lines().any(|line| line.starts_with("To:") && line.contains(to))).count()
}

#[tokio::test]
async fn invariant_10_mails_stop_for_who_pays_and_who_leaves_and_go_on_for_who_owes() {
    let stripe = FakeStripe::start().await;
    let product = stripe.add_product("Fibre");
    let price = stripe.add_price(&product, 2_900, "gbp", "month");
    let names = ["paying", "leaving", "owing"];
    let subscriptions = names.map(|name| {
        stripe.add_subscription(&stripe.add_customer(&format!("{name}@example.com"), name), &price)
    });
    let [pays, leaves, _] = &subscriptions;
    let world = World::start_with([("RETENTION_STRIPE_URL", stripe.url().to_owned())]).await;
    let company = Company::bare(&world).await;
    let admin = company.connect_stripe(&world, &stripe).await;

    let made = admin.post("/v1/recovery/campaigns", campaign()).await.unwrap();
    let path = format!("/v1/recovery/campaigns/{}", text(&made, "/id").unwrap());
    let active = json!({ "version": made["version"], "status": "active" });
    let active = admin.call("PATCH", &path, Some(active)).await.unwrap();
    assert_eq!(active["status"], "active", "{active}");

    let begun = SystemTime::now();
    for subscription in &subscriptions {
        stripe.settle_payment(subscription, false);
    }
    let cases = "/v1/recovery/cases";
    let three = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 3);
    company.until(&admin, cases, "a case each", three).await;
    let later = |by: SignedDuration| {
        world.clock.advance(by);
        stripe.clock().advance(by);
    };
    later(SignedDuration::from_secs(61));
    for name in names {
        let to = format!("{name}@example.com");
        let mail = company.mailbox.wait(&to, begun, |mail| Some(mail.to_owned())).await.unwrap();
        for part in ["Your payment failed", &format!("Dear {name},"), "29.00 GBP"] {
            assert!(mail.contains(part), "{part} is not in {mail}");
        }
    }

    stripe.settle_payment(pays, true);
    stripe.act("POST", &["subscriptions", leaves], json!({ "cancel_at_period_end": "true" }));
    let ended = |state: &'static str| {
        let (company, admin) = (&company, &admin);
        async move {
            let path = format!("/v1/recovery/cases?state={state}");
            let one = |page: &Value| page["items"].as_array().is_some_and(|items| items.len() == 1);
            company.until(admin, &path, state, one).await["items"][0].clone()
        }
    };
    let recovered = ended("recovered").await;
    assert_eq!(recovered["amount_paid"], json!({ "minor": 2900, "currency": "GBP" }), "{recovered}");
    let left = ended("canceled_by_customer").await;
    assert_eq!((&left["reason"], &left["mails"]), (&json!("canceled"), &json!(1)));

    // The next day the mail goes to the one who still owes; the same run looked at everybody.
    later(SignedDuration::from_hours(25));
    let late = |mail: &str| mail.contains("a day late").then_some(());
    company.mailbox.wait("owing@example.com", begun, late).await.unwrap();
    let sent = names.map(|name| mails(&world, &format!("{name}@example.com")));
    assert_eq!(sent, [1, 1, 2]);
    world.stack.stop().await.unwrap();
}
