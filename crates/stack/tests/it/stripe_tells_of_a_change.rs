//! A company at Stripe: somebody cancels in Stripe's dashboard, and Stripe tells us.

use serde_json::json;
use stack::load::api::text;
use testkit::stripe::FakeStripe;

use crate::company::Company;
use crate::world::World;

#[tokio::test]
async fn a_signed_webhook_changes_the_mirror_and_a_forged_one_does_not() {
    let stripe = FakeStripe::start().await;
    let product = stripe.add_product("Fibre");
    let price = stripe.add_price(&product, 2_900, "gbp", "month");
    let subscription = stripe.add_subscription(&stripe.add_customer("eve@example.com", "Eve"), &price);
    let world = World::start_with([("RETENTION_STRIPE_URL", stripe.url().to_owned())]).await;
    let company = Company::bare(&world).await;
    let admin = company.connect_stripe(&world, &stripe).await;
    let listed = admin.get("/v1/subscriptions").await.unwrap();
    assert_eq!(
        (&listed["items"][0]["external_id"], &listed["items"][0]["state"]),
        (&json!(subscription), &json!("active")),
        "{listed}"
    );
    let mirrored = format!("/v1/subscriptions/{}", text(&listed, "/items/0/id").unwrap());

    let gateway = world.stack.address("gateway").unwrap();
    let door = format!("{gateway}/v1/inbound/stripe/{}", text(&company.noted, "/company_key").unwrap());
    stripe.act("POST", &["subscriptions", &subscription], json!({ "cancel_at_period_end": "true" }));
    company.until(&admin, &mirrored, "the mirror following", |s| s["state"] == "non_renewing").await;
    let events = admin.get("/v1/inbound/events").await.unwrap();
    let before = events["items"].as_array().unwrap().len();

    let (signature, body) = stripe.delivery("customer.subscription.updated").unwrap();
    let forged = body.replace("\"cancel_at_period_end\":true", "\"cancel_at_period_end\":false");
    assert_ne!(forged, body);
    let http = reqwest::Client::builder().build().unwrap();
    let send = async |body: String| {
        let request = http.post(&door).header("stripe-signature", &signature);
        request.header("content-type", "application/json").body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!(send(forged).await, 401);
    assert_eq!(send(body).await, 200, "Stripe repeats itself");
    let events = admin.get("/v1/inbound/events").await.unwrap();
    assert_eq!(events["items"].as_array().unwrap().len(), before, "neither was taken in");
    world.stack.stop().await.unwrap();
}
