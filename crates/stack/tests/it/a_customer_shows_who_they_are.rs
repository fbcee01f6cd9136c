//! A customer of a company without a backend: the address leads to a code, the code to the page, the page out.

use std::time::SystemTime;

use serde_json::{Value, json};
use stack::load::api::{is_refused, text};
use stack::load::mailbox;

use crate::company::Company;
use crate::world::World;

/// What is answered, for whoever writes docs/flows.md anew (`--no-capture`).
fn show(what: &str, answer: &Value) {
    println!("=== {what}\n{}", serde_json::to_string_pretty(answer).unwrap());
}

#[tokio::test]
async fn the_address_leads_to_a_code_the_code_to_the_page_and_the_page_out() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let slug = text(&company.noted, "/slug").unwrap_or_else(|_| text(&company.noted, "/company_id").unwrap());
    let path = format!("/v1/hosted/{slug}/verify");
    let since = SystemTime::now();
    let sent = company.public.post(&path, json!({ "email": company.address() })).await.unwrap();
    show("code sent", &sent);
    assert_eq!((&sent["state"], &sent["resend_left"]), (&json!("code_sent"), &json!(true)));
    let nobody = company.public.post(&path, json!({ "email": "nobody@customers.example" })).await.unwrap();
    let shape =
        |answer: &Value| (answer["state"].clone(), answer["resend_left"].clone(), answer["token"].clone());
    assert_eq!(shape(&sent), shape(&nobody), "nobody learns who is a customer");

    let code = company.mailbox.wait(&company.address(), since, mailbox::code).await.unwrap();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let refused = company.public.post(&path, json!({ "email": company.address(), "code": wrong })).await;
    let refused = refused.unwrap_err();
    println!("=== wrong code\n{refused}");
    assert!(is_refused(&refused, "wrong_code"), "{refused}");
    let led = company.public.post(&path, json!({ "email": company.address(), "code": code })).await.unwrap();
    assert_eq!(led["state"], "verified");
    let http = reqwest::Client::new();
    let page = http.get(text(&led, "/hosted_url").unwrap()).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    let at = page.url().to_string();
    assert!(page.text().await.unwrap().contains("data-cancel-now"));
    let done = http.post(&at).form(&[("do", "cancel")]).send().await.unwrap();
    assert_eq!(done.status().as_u16(), 200);
    testkit::eventually("the provider ending it", async || {
        (company.at_provider().await["state"] == "non_renewing").then_some(())
    })
    .await;
    world.stack.stop().await.unwrap();
}

#[tokio::test]
async fn forms_do_as_well_and_who_gets_no_code_is_not_led_in_circles() {
    let world = World::start().await;
    let company = Company::bare(&world).await;
    let slug = text(&company.noted, "/slug").unwrap_or_else(|_| text(&company.noted, "/company_id").unwrap());
    let (at, http) = (format!("{}/v1/hosted/{slug}/verify", world.gateway), reqwest::Client::new());
    let page = http.get(&at).header("accept-language", "de").send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);
    let page = page.text().await.unwrap();
    assert!(page.contains("E-Mail-Adresse") && !page.contains("<script"), "{page}");
    let ask = async || {
        let sent = http.post(&at).form(&[("email", "ada@example.com")]).send().await.unwrap();
        assert_eq!(sent.status().as_u16(), 200);
        sent.text().await.unwrap()
    };
    assert!(ask().await.contains("Send another code"));
    assert!(ask().await.contains("No code came"));
    assert!(ask().await.contains("Your request is in"));
    assert!(ask().await.contains("Your request is in"), "asking again changes nothing");

    let manual = "/v1/flow-sessions?state=manual";
    let wishes = company.until(&company.admin, manual, "the wish", |l| l["items"] != json!([])).await;
    assert_eq!(wishes["items"].as_array().unwrap().len(), 1, "{wishes}");
    assert_ne!(wishes["items"][0]["wished_at"], Value::Null);
    let explained = format!("/v1/flow-sessions/{}/explain", text(&wishes, "/items/0/id").unwrap());
    let explained = company.admin.get(&explained).await.unwrap();
    show("explained", &explained);
    assert!(explained["decisions"].as_array().unwrap().iter().any(|d| d["code"] == "unverified"));
    let told = company
        .until(&company.admin, "/v1/notifications", "the admins being told", |l| l["items"] != json!([]))
        .await;
    show("told", &told["items"][0]);
    assert_eq!(told["items"][0]["kind"], "manual_cancellation");
    let path = "/v1/billing/simulated/subscriptions/sub_c-1";
    assert_eq!(company.machine.get(path).await.unwrap()["state"], "active", "people ask before they act");
    world.stack.stop().await.unwrap();
}
