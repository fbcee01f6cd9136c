//! The hosted page in a real browser, by keyboard on a phone, in three languages, one of them from the right.

use serde_json::json;
use stack::load::api::text;

use crate::browser::{drive, missing, pictures};
use crate::company::Company;
use crate::world::World;

#[tokio::test]
async fn a_customer_is_saved_by_the_keyboard_in_three_languages() {
    if let Some(what) = missing() {
        println!("SKIPPED: no browser journey, as {what} is missing");
        return;
    }
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let folder = pictures().display().to_string();
    let journeys = [
        ("en", "", "ltr", "Before you go", "Glad you stay"),
        ("de", "DE", "ltr", "Bevor Sie gehen", "Schön, dass Sie bleiben"),
        ("ar", "FR", "rtl", "قبل أن تغادر", "يسعدنا بقاؤك"),
    ];
    for (at, (locale, region, direction, first, last)) in journeys.into_iter().enumerate() {
        let customer = text(&company.noted, &format!("/customers/{at}")).unwrap();
        let asked = json!({ "customer": customer, "locale": locale, "region": region });
        let link = company.machine.post("/v1/flow/tokens", asked).await.unwrap();
        let link = text(&link, "/hosted_url").unwrap();
        let seen = drive("hosted-page.mjs", &[&link, &format!("hosted-{locale}"), &folder]).await;
        assert_eq!((&seen["lang"], &seen["dir"]), (&json!(locale), &json!(direction)), "{seen}");
        let titles = seen["titles"].as_array().unwrap();
        let is = |title: &serde_json::Value, what: &str| title.as_str().unwrap().starts_with(what);
        assert!(is(&titles[0], first) && is(titles.last().unwrap(), last), "{seen}");
        assert_eq!(seen["consent"], !region.is_empty(), "the European Union asks for a consent: {seen}");
        let path = format!("/v1/billing/simulated/subscriptions/sub_{customer}");
        assert_eq!(company.machine.get(&path).await.unwrap()["discounts"][0]["percent_off"], 20);
    }
    world.stack.stop().await.unwrap();
}
