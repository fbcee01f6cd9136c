//! The ids of another company, at every operation that takes one: answered as ids that do not exist, to the byte and in
//! the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use gateway::edge::descriptors::{self, Operation};
use proto::edge::Auth;
use serde_json::{Value, json};
use stack::load::api::{Api, text};
use stack::load::people;

use crate::company::Company;
use crate::world::World;

/// Paths whose variable is no id of a record: names of providers, tokens that are secrets themselves, keys of locks.
const NO_IDS: [&str; 6] =
    ["/by-token/", "/v1/billing/", "/v1/locks/", "/v1/global-config", "/v1/flow/sessions/", "/v1/config"];

/// A body that keeps the schema's rules: what is required, and no more.
fn sample(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(document, document.pointer(reference.trim_start_matches('#')).unwrap());
    }
    if let Some(first) =
        schema["enum"].as_array().and_then(|known| known.iter().find(|v| **v != "unspecified"))
    {
        return first.clone();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields =
                required.map(|name| (name.to_owned(), sample(document, &schema["properties"][name])));
            Value::Object(fields.collect())
        }
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            (0..least).map(|_| sample(document, &schema["items"])).collect()
        }
        "string" if schema["format"] == "email" => json!("somebody@example.com"),
        "string" => json!("a".repeat(schema["minLength"].as_u64().unwrap_or(1).max(1) as usize)),
        "integer" | "number" => {
            schema.get("minimum").filter(|m| **m != i32::MIN).cloned().unwrap_or(json!(1))
        }
        "boolean" => json!(false),
        _ => json!({}),
    }
}

/// Ids of a company's records, by the path of their list.
async fn records(company: &Company, operations: &[std::sync::Arc<Operation>]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let id = text(&company.noted, "/company_id").unwrap();
    found.insert("/v1/companies".to_owned(), id.clone());
    for op in operations.iter().filter(|op| op.is_read() && op.auth() == Auth::User) {
        let path = op.template.description();
        let Ok(page) = company.admin.get(&format!("{}?limit=1", path.replace("{id}", &id))).await else {
            continue;
        };
        if let Some(id) = page["items"][0]["id"].as_str() {
            found.insert(path, id.to_owned());
        }
    }
    found
}

/// The path with an id of another company's, and with one nobody has; none where nothing of the kind is there.
fn paths(op: &Operation, records: &BTreeMap<String, String>) -> Option<(String, String)> {
    let path = op.template.description();
    let (list, rest) = path.split_once("/{")?;
    let (_, rest) = rest.split_once('}')?;
    let theirs = records.get(list)?;
    let prefix = theirs.split_once('_')?.0;
    // What comes after the first id is looked for only below a record that is there.
    let rest =
        rest.replace("{n}", "1").replace("{m}", "2").replace("{kid}", "key_1").replace("{oid}", "off_1");
    Some((format!("{list}/{theirs}{rest}"), format!("{list}/{}{rest}", kit::id::new(prefix))))
}

struct Answer {
    status: u16,
    body: Value,
}

async fn ask(
    api: &reqwest::Client,
    world: &World,
    op: &Operation,
    path: &str,
    headers: &[(String, String)],
    body: &Value,
) -> Answer {
    let mut request = api.request(op.method.clone(), format!("{}{path}", world.gateway));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if !matches!(op.body, descriptors::Body::None) {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let mut body: Value = answer.json().await.unwrap_or_default();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("request_id");
    }
    Answer { status, body }
}

fn bearer(token: &str) -> Vec<(String, String)> {
    vec![("authorization".to_owned(), format!("Bearer {token}"))]
}

#[tokio::test]
async fn ids_of_another_company_are_answered_like_ids_that_do_not_exist() {
    let world = World::start_with([("RETENTION_RATE_SCALE", "100000".to_owned())]).await;
    let (ours, theirs) = (Company::demo(&world).await, Company::bare(&world).await);
    ours.enter().await;
    let invited = json!({ "email": "late@demo.example", "role": "ret_exp", "locale": "en" });
    ours.admin.post("/v1/invitations", invited).await.unwrap();
    ours.admin
        .post(
            "/v1/usage/datasets",
            json!({ "name": "seats", "columns": [{ "name": "used", "type": "int" }] }),
        )
        .await
        .ok();
    ours.admin.post("/v1/persona-categories", json!({ "name": "Value" })).await.ok();
    let operations = descriptors::load().unwrap();
    let document: Value = serde_json::from_str(&gateway::openapi_document().unwrap()).unwrap();
    let records = records(&ours, &operations).await;

    let address = |who: &str| text(&theirs.noted, who).unwrap();
    let admin =
        people::access_token(&theirs.public, &theirs.mailbox, &address("/users/ret_admin")).await.unwrap();
    let expert =
        people::access_token(&theirs.public, &theirs.mailbox, &address("/users/ret_exp")).await.unwrap();
    let callers = [bearer(&admin), bearer(&expert), bearer(&address("/api_key_live"))];

    let http = reqwest::Client::new();
    let (mut wrong, mut asked, mut without) = (Vec::new(), 0, BTreeSet::new());
    for op in operations.iter().filter(|op| op.template.description().contains('{')) {
        let shown = op.template.description();
        if NO_IDS.iter().any(|part| shown.contains(part)) {
            continue;
        }
        let Some((foreign, none)) = paths(op, &records) else {
            without.insert(shown);
            continue;
        };
        let described = &document["paths"][&shown][op.method.as_str().to_lowercase()];
        let body = sample(&document, &described["requestBody"]["content"]["application/json"]["schema"]);
        for headers in &callers {
            let seen = ask(&http, &world, op, &foreign, headers, &body).await;
            let absent = ask(&http, &world, op, &none, headers, &body).await;
            asked += 1;
            // Who may not call it at all is told so, whatever the id.
            let right =
                matches!(seen.status, 403 | 404) && seen.status == absent.status && seen.body == absent.body;
            let refused = seen.status == 403
                && !matches!(
                    seen.body["code"].as_str(),
                    Some("forbidden" | "scope_missing" | "upload_not_permitted")
                );
            if !right || refused {
                wrong.push(format!(
                    "{} {foreign}: {} {} and not {} {}",
                    op.method, seen.status, seen.body, absent.status, absent.body
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers tell:\n{}", wrong.len(), wrong.join("\n"));
    assert!(asked > 200, "{asked} asked, nothing of these kinds to ask for: {without:?}");
    println!("{asked} pairs; nothing to ask for: {without:?}");
    same_time(&theirs.admin, &records["/v1/offers"]).await;
    world.stack.stop().await.unwrap();
}

/// Alternating, so that whatever else the machine does hits both alike; a wide bound, as only another path through the
/// code would be told apart by anybody.
async fn same_time(api: &Api, foreign: &str) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..150 {
        for (at, id) in [(0, foreign.to_owned()), (1, kit::id::new("off"))] {
            let begun = Instant::now();
            api.get(&format!("/v1/offers/{id}")).await.unwrap_err();
            times[at].push(begun.elapsed());
        }
    }
    let [seen, absent] = times.map(|mut all| {
        all.sort();
        all[all.len() / 2]
    });
    let (fast, slow) = (seen.min(absent), seen.max(absent));
    assert!(
        slow < fast * 2 + Duration::from_millis(2),
        "{seen:?} for another company's, {absent:?} for none"
    );
}
