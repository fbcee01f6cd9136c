//! A company brings its customers by file, finds that two of them are one person, and takes that back.

use serde_json::{Value, json};
use stack::load::api::text;

use crate::company::Company;
use crate::world::World;

/// Sends a file as a browser's form does.
async fn import(world: &World, company: &Company, csv: &str) -> Value {
    let key = text(&company.noted, "/api_key_live").unwrap();
    let part =
        reqwest::multipart::Part::text(csv.to_owned()).file_name("people.csv").mime_str("text/csv").unwrap();
    let mapping = json!({ "Kunde": "external_id" }).to_string();
    let form = reqwest::multipart::Form::new().text("mapping", mapping).part("file", part);
    let sent = reqwest::Client::new()
        .post(format!("{}/v1/customer-data/imports", world.gateway))
        .bearer_auth(key)
        .multipart(form)
        .send()
        .await
        .unwrap();
    let status = sent.status();
    let answer: Value = sent.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn a_file_comes_in_two_customers_become_one_and_two_again() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let saved = company.customer();

    let csv = "Kunde,email,tags\nweb-7,ada.private@example.com,web\n,nobody@example.com,web\n";
    let begun = import(&world, &company, csv).await;
    let path = format!("/v1/customer-data/imports/{}", text(&begun, "/id").unwrap());
    let over = |i: &Value| i["state"] == "completed_with_errors";
    let done = company.until(&company.machine, &path, "the import", over).await;
    assert_eq!((&done["created"], &done["rejected"]), (&json!(1), &json!(1)), "{done}");
    let errors = company.machine.get(&format!("{path}/errors")).await.unwrap();
    assert_eq!(errors["items"][0]["row"], 2, "{errors}");
    assert_eq!(import(&world, &company, csv).await["id"], begun["id"], "the same file again");

    let (screen, browser) = company.enter().await;
    let session = format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap());
    let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });
    let screen = browser.post(&format!("{session}/answers"), answers).await.unwrap();
    let offer = text(&screen, "/offer/id").unwrap();
    browser.post(&format!("{session}/offers/{offer}/accept"), json!({})).await.unwrap();
    company.until(&browser, &session, "the customer being saved", |s| s["state"] == "saved").await;

    let one = |id: &str| format!("/v1/customers?external_id={id}");
    let survivor = company.admin.get(&one("web-7")).await.unwrap()["items"][0].clone();
    let (id, absorbed) = (text(&survivor, "/id").unwrap(), one(&saved));
    let state = |c: &Value| c["items"][0]["state"] == "saved";
    let absorbed =
        company.until(&company.admin, &absorbed, "the saved customer", state).await["items"][0].clone();
    let merge = json!({
        "survivor_id": id,
        "absorbed_id": absorbed["id"],
        "survivor_version": survivor["version"],
        "absorbed_version": absorbed["version"],
    });
    let merged = company.admin.post("/v1/customers/merge", merge).await.unwrap();
    assert_eq!(merged["customer"]["state"], "saved", "{merged}");
    assert_eq!(merged["customer"]["other_external_ids"], json!([saved]), "{merged}");
    let by_old_id =
        company.admin.get(&format!("/v1/customers/{}", text(&absorbed, "/id").unwrap())).await.unwrap();
    assert_eq!((&by_old_id["id"], &by_old_id["email"]), (&json!(id), &json!("ada.private@example.com")));

    let timeline = format!("/v1/customers/{id}/timeline?limit=200");
    let kinds = ["upload", "subscription", "offer", "flow", "mail", "merge"];
    let has = |t: &Value, kind: &str| t["items"].as_array().unwrap().iter().any(|e| e["kind"] == kind);
    let all = |t: &Value| kinds.iter().all(|kind| has(t, kind));
    let told = company.until(&company.admin, &timeline, "everything in the timeline", all).await;
    assert!(!told.to_string().contains("@"), "nothing personal stands there: {told}");
    let flows = company.admin.get(&format!("{timeline}&kinds=flow")).await.unwrap();
    assert!(flows["items"].as_array().unwrap().iter().all(|e| e["kind"] == "flow"), "{flows}");
    let visits = format!("/v1/flow-sessions?customer_id={id}");
    let moved = |v: &Value| v["items"].as_array().is_some_and(|v| v.len() == 1);
    company.until(&company.admin, &visits, "the visit being the survivor's", moved).await;

    let undo = format!("/v1/customers/merge/{}/undo", text(&merged, "/id").unwrap());
    company.admin.post(&undo, json!({})).await.unwrap();
    let back = company.admin.get(&one(&saved)).await.unwrap()["items"][0].clone();
    assert_eq!((&back["id"], &back["state"]), (&absorbed["id"], &json!("saved")), "{back}");
    let survivor = company.admin.get(&format!("/v1/customers/{id}")).await.unwrap();
    assert_eq!(
        (&survivor["state"], &survivor["subscription_count"]),
        (&json!("prospect"), &json!(0)),
        "{survivor}"
    );
    let gone = |v: &Value| v["items"].as_array().is_some_and(Vec::is_empty);
    company.until(&company.admin, &visits, "the visit going back", gone).await;

    let ready = |e: &Value| e["state"] == "ready";
    let export = company.until(&company.admin, "/v1/customer-data/export", "the export", ready).await;
    let file = company.admin.open(&text(&export, "/file").unwrap()).await.unwrap().text().await.unwrap();
    assert!(file.contains("ada.private@example.com"), "{file}");
    world.stack.stop().await.unwrap();
}
