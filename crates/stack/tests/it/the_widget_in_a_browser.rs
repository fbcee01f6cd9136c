//! The widget on the example page (`examples/widget`), under that page's strict policy, by keyboard on a phone.

use serde_json::{Value, json};
use stack::load::api::text;

use crate::browser::{Example, drive, missing, pictures};
use crate::company::Company;
use crate::world::World;

struct Shop {
    world: World,
    company: Company,
}

impl Shop {
    async fn start() -> Option<Self> {
        if let Some(what) = missing() {
            println!("SKIPPED: no browser journey, as {what} is missing");
            return None;
        }
        let world = World::start().await;
        let company = Company::demo(&world).await;
        Some(Self { world, company })
    }

    /// One customer's journey through the page; what was seen.
    async fn visit(&self, at: usize, region: &str, locale: &str, ending: &str) -> (String, Value) {
        let customer = text(&self.company.noted, &format!("/customers/{at}")).unwrap();
        let example = Example::start(&self.world.gateway, &self.company, &customer, region).await;
        let (folder, name) = (pictures().display().to_string(), format!("widget-{locale}"));
        let address = format!("{}?locale={locale}", example.address);
        let pictures: &[&str] = if ending == "left" { &[] } else { &[&folder] };
        let arguments = [&[address.as_str(), &name, ending], pictures].concat();
        (customer, drive("widget-page.mjs", &arguments).await)
    }

    async fn at_provider(&self, customer: &str) -> Value {
        let path = format!("/v1/billing/simulated/subscriptions/sub_{customer}");
        self.company.machine.get(&path).await.unwrap()
    }
}

#[tokio::test]
async fn the_widget_saves_in_three_languages_and_asks_for_consent_where_the_region_does() {
    let Some(shop) = Shop::start().await else { return };
    let journeys = [
        ("en", "", "ltr", "Before you go", "Glad you stay"),
        ("de", "DE", "ltr", "Bevor Sie gehen", "Schön, dass Sie bleiben"),
        ("ar", "FR", "rtl", "قبل أن تغادر", "يسعدنا بقاؤك"),
    ];
    for (at, (locale, region, direction, first, last)) in journeys.into_iter().enumerate() {
        let (customer, seen) = shop.visit(at, region, locale, "saved").await;
        assert_eq!((&seen["lang"], &seen["dir"]), (&json!(locale), &json!(direction)), "{seen}");
        let titles = seen["titles"].as_array().unwrap();
        assert_eq!((&titles[0], titles.last()), (&json!(first), Some(&json!(last))), "{seen}");
        assert_eq!(seen["consent"], !region.is_empty(), "{seen}");
        assert_eq!(seen["outcome"], "The customer stays.");
        assert_eq!(shop.at_provider(&customer).await["discounts"][0]["percent_off"], 20);
    }
    shop.world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn the_widget_lets_everybody_go_who_wants_to() {
    let Some(shop) = Shop::start().await else { return };
    let (customer, seen) = shop.visit(0, "", "de", "left").await;
    assert_eq!(seen["outcome"], "Nothing has changed.", "Escape leaves: {seen}");
    assert_eq!(shop.at_provider(&customer).await["state"], "active");

    let (customer, seen) = shop.visit(0, "", "en", "canceled").await;
    assert_eq!(seen["outcome"], "The subscription ends with its period.", "{seen}");
    assert_eq!(shop.at_provider(&customer).await["state"], "non_renewing");

    // Whatever is out of reach, the page's own way begins and nothing of the widget is left.
    let (_, seen) = shop.visit(1, "", "en", "broken").await;
    let fallen = seen["fallen"].as_array().unwrap();
    assert_eq!(fallen.len(), 3, "{seen}");
    assert!(fallen.iter().all(|f| f.as_str().unwrap().starts_with("The page's own way")), "{seen}");
    shop.world.stack.stop().await.unwrap();
}
