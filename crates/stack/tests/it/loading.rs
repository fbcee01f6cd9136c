//! What the loader leaves behind, and what it does not do twice.

use serde_json::{Value, json};

use crate::company::{self, Company};
use crate::world::World;

async fn sizes(company: &Company) -> Value {
    let mut sizes = json!({});
    for path in ["/v1/offers", "/v1/cards", "/v1/templates", "/v1/workflows", "/v1/personas", "/v1/users"] {
        sizes[path] = company.admin.all(path).await.unwrap().len().into();
    }
    sizes["/v1/customers"] = company.machine.all("/v1/customers").await.unwrap().len().into();
    sizes
}

#[tokio::test]
async fn a_company_is_loaded_once_and_a_load_that_broke_off_goes_on() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let first = sizes(&company).await;
    assert_eq!((&first["/v1/customers"], &first["/v1/users"]), (&json!(60), &json!(2)), "{first}");
    assert_eq!((&first["/v1/offers"], &first["/v1/personas"]), (&json!(4), &json!(4)), "{first}");
    // When the loader is done, everybody is sorted in, by the facts of the usage file, too.
    for persona in company.admin.all("/v1/personas").await.unwrap() {
        let path = format!("/v1/personas/{}/members", persona["id"].as_str().unwrap());
        let members = company.admin.all(&path).await.unwrap().len();
        assert_eq!((&persona["size"], members > 0), (&json!(members), true), "{persona}");
    }

    let again = company::load(&world, &["--demo", "--most", "60"]).await;
    assert_eq!(again["demo"]["api_key_live"], company.noted["api_key_live"]);
    assert_ne!(again["demo"]["hosted_url"], company.noted["hosted_url"], "links are good once");

    // A load that broke off has noted nothing.
    let path = world.file("endpoints.json");
    let mut broken = again.clone();
    broken.as_object_mut().unwrap().remove("demo");
    std::fs::write(&path, broken.to_string()).unwrap();
    let resumed = company::load(&world, &["--demo", "--most", "60"]).await;
    assert_eq!(resumed["demo"]["company_id"], company.noted["company_id"]);
    assert_eq!(sizes(&company).await, first);
    world.stack.stop().await.unwrap();
}
