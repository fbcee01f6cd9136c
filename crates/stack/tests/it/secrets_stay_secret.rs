//! A whole story with every kind of secret in it, told at `trace`; then everything the system wrote anywhere is searched
//! for them.
//!
//! What may be where: secrets (keys of ours and of providers, tokens) are nowhere, not even in the database, which keeps
//! hashes and sealed forms. The code or the link of an invitation that a mail brings stands in the event that asks for
//! the mail (`mail.requested`) and nowhere else; both end soon, and work once. An offer's single-use code is what the customer was given: it stands in
//! the redemption, and in the event the mail is made from. Customers' names and addresses stand in the database and in
//! the events that mails are made from; never in logs, traces or errors.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_nats::jetstream;
use futures_util::{StreamExt, TryStreamExt};
use kit::ExposeSecret;
use reqwest::Method;
use serde_json::{Value, json};
use stack::load::api::text;
use stack::load::{mailbox, people};
use testkit::stripe::FakeStripe;

use crate::company::Company;
use crate::processes::Processes;
use crate::sink;

/// Where something may be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Secrecy {
    /// Nowhere.
    Secret,
    /// In the event that asks for a mail.
    Mailed,
    /// In the database and in events.
    Personal,
}

/// What is looked for, by what it is.
#[derive(Default)]
struct Marked(Vec<(&'static str, String, Secrecy)>);

impl Marked {
    fn secret(&mut self, what: &'static str, value: impl Into<String>) {
        let value = value.into();
        assert!(value.len() >= 6, "{what} is too short to be told from anything else: {value}");
        self.0.push((what, value, Secrecy::Secret));
    }

    fn mailed(&mut self, what: &'static str, value: impl Into<String>) {
        self.0.push((what, value.into(), Secrecy::Mailed));
    }

    fn personal(&mut self, what: &'static str, value: impl Into<String>) {
        self.0.push((what, value.into(), Secrecy::Personal));
    }

    /// Everything of it that stands in a text. A code of digits counts only where it stands alone, and not as the
    /// fraction of a second.
    fn found_in(&self, place: &str, text: &str, allowed: &[Secrecy]) -> Vec<String> {
        let near = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '.');
        let is_there = |value: &str| {
            text.match_indices(value).find(|(at, _)| {
                let (before, after) = (&text[..*at], &text[at + value.len()..]);
                value.len() > 8 || !(near(before.chars().next_back()) || near(after.chars().next()))
            })
        };
        let looked = self.0.iter().filter(|(_, _, secrecy)| !allowed.contains(secrecy));
        looked
            .filter_map(|(what, value, _)| {
                let (at, _) = is_there(value)?;
                let (from, to) =
                    (text.floor_char_boundary(at.saturating_sub(200)), (at + 200).min(text.len()));
                Some(format!("{what} in {place}: …{}…", &text[from..text.floor_char_boundary(to)]))
            })
            .collect()
    }
}

/// Calls and keeps every refusal.
struct Caller {
    http: reqwest::Client,
    gateway: String,
    refusals: Vec<String>,
}

impl Caller {
    async fn call(&mut self, method: Method, path: &str, token: &str, body: &str) -> Value {
        let request = self.http.request(method, format!("{}{path}", self.gateway));
        let request = if token.is_empty() { request } else { request.bearer_auth(token) };
        let request = request.header("content-type", "application/json").header("retention-mode", "test");
        let answer = request.body(body.to_owned()).send().await.unwrap();
        let (status, headers) = (answer.status(), format!("{:?}", answer.headers()));
        let said = answer.text().await.unwrap();
        if !status.is_success() {
            self.refusals.push(format!("{status} {headers} {said}"));
        }
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_log_no_trace_no_error_no_event_and_not_plain_in_the_database() {
    let stripe = FakeStripe::start().await;
    let product = stripe.add_product("Fibre");
    let price = stripe.add_price(&product, 2_900, "gbp", "month");
    let customer = stripe.add_customer("zenobia.marked@customers.example", "Zenobia Marked-Name");
    let subscription = stripe.add_subscription(&customer, &price);
    let more = [("RETENTION_STRIPE_URL", stripe.url().to_owned())];
    let mut system = Processes::start_telling("trace", more).await;
    let mut marked = Marked::default();
    for name in ["RETENTION_INNER_KEY", "RETENTION_SECRETS_KEY"] {
        marked.secret("a key of ours", &system.settings[name]);
    }
    marked.personal("a customer's address", "zenobia.marked@customers.example");
    marked.personal("a customer's name", "Zenobia Marked-Name");

    let company = Company::demo(&system).await;
    marked.secret("an API key", text(&company.noted, "/api_key_live").unwrap());
    marked.personal("a customer's address", company.address());
    let mut caller =
        Caller { http: reqwest::Client::new(), gateway: system.gateway.clone(), refusals: Vec::new() };

    // Somebody signs in, wrongly first, and again with what they got.
    let person = text(&company.noted, "/users/ret_admin").unwrap();
    let since = SystemTime::now();
    let asked = json!({ "email": person }).to_string();
    caller.call(Method::POST, "/v1/sessions", "", &asked).await;
    let code = company.mailbox.wait(&person, since, mailbox::code).await.unwrap();
    let wrong = json!({ "email": person, "code": "000001" }).to_string();
    caller.call(Method::POST, "/v1/sessions", "", &wrong).await;
    marked.mailed("a mailed code", &code);
    let right = json!({ "email": person, "code": code }).to_string();
    let session = caller.call(Method::POST, "/v1/sessions", "", &right).await;
    let access = text(&session, "/access_token").unwrap();
    let refresh = text(&session, "/refresh_token").unwrap();
    let again = json!({ "refresh_token": refresh }).to_string();
    let refreshed = caller.call(Method::POST, "/v1/sessions/refresh", "", &again).await;
    marked.secret("a refresh token", &refresh);
    marked.secret("an access token", &access);
    for (what, at) in [("an access token", "/access_token"), ("a refresh token", "/refresh_token")] {
        marked.secret(what, text(&refreshed, at).unwrap());
    }
    let admin = text(&refreshed, "/access_token").unwrap();

    // Stripe is connected, with a bad key first and in ill-formed ways.
    let (key, webhook) = ("sk_test_fake", "whsec_fake");
    assert_eq!((stripe.key().expose_secret(), stripe.webhook_secret().expose_secret()), (key, webhook));
    marked.secret("a provider key", key);
    marked.secret("a webhook secret", webhook);
    let keys = |key: &str| json!({ "secret": key, "webhook_secret": webhook }).to_string();
    for bad in ["sk_test_MarkedAndWrong", "sk_live_MarkedAndLive", "MarkedNonsense"] {
        marked.secret("a wrong provider key", bad);
        caller.call(Method::PUT, "/v1/billing/stripe", &admin, &keys(bad)).await;
    }
    let unreadable = format!("{{ \"secret\": \"{key}\", \"webhook_secret\": [\"{webhook}\"], ");
    caller.call(Method::PUT, "/v1/billing/stripe", &admin, &unreadable).await;
    let mistyped = json!({ "secret": { "key": key }, "webhook_secret": [webhook] }).to_string();
    caller.call(Method::PUT, "/v1/billing/stripe", &admin, &mistyped).await;
    let connected = caller.call(Method::PUT, "/v1/billing/stripe", &admin, &keys(key)).await;
    assert_eq!(connected["status"], "connected", "{connected}");
    caller.call(Method::POST, "/v1/billing/stripe/sync", &admin, "{}").await;
    let testing = company.public.with_token(&admin).with_header("retention-mode", "test".into());
    company.until(&testing, "/v1/billing/stripe", "the sync", |c| c["sync"]["state"] == "done").await;
    let door = format!("/v1/inbound/stripe/{}", text(&company.noted, "/company_key").unwrap());
    stripe.send_webhooks_to(&format!("{}{door}", system.gateway));
    stripe.act("POST", &["subscriptions", &subscription], json!({ "cancel_at_period_end": "true" }));
    let moved = |s: &Value| s["items"][0]["state"] == "non_renewing";
    company.until(&testing, "/v1/subscriptions", "the mirror following", moved).await;
    caller.call(Method::POST, &door, "", "{\"id\":\"evt_forged\"}").await;

    // Credentials in the wrong places, and made-up ones.
    for path in ["/v1/offers", "/v1/users/me", "/v1/flow/sessions/fls_none", "/v1/customers/cus_none"] {
        caller.call(Method::GET, path, "MarkedMadeUpToken", "").await;
    }
    caller.call(Method::GET, "/v1/invitations/by-token/MarkedMadeUpInvitation", "", "").await;
    marked.secret("a made-up token", "MarkedMadeUpToken");
    marked.secret("a made-up invitation", "MarkedMadeUpInvitation");

    // An expert is invited, and a customer stays for a discount with a code of their own.
    let mails = SystemTime::now();
    let invited = "marked.expert@company.example";
    let invitation = json!({ "email": invited, "role": "ret_exp", "locale": "en" });
    company.admin.post("/v1/invitations", invitation).await.unwrap();
    let find = |mail: &str| mailbox::token(mail, "/v1/invitations/by-token/");
    marked.mailed("an invitation", company.mailbox.wait(invited, mails, find).await.unwrap());
    let link =
        company.machine.post("/v1/flow/tokens", json!({ "customer": company.customer() })).await.unwrap();
    let link = text(&link, "/token").unwrap();
    let screen = company.public.post("/v1/flow/sessions", json!({ "token": link })).await.unwrap();
    marked.secret("a flow link", &link);
    let flow = text(&screen, "/session_token").unwrap();
    let browser = company.public.with_token(&flow);
    marked.secret("a flow session's token", &flow);
    let path = format!("/v1/flow/sessions/{}", text(&screen, "/session_id").unwrap());
    let answers = json!({ "answers": [{ "question": "reason", "choices": ["too_expensive"] }] });
    let screen = browser.post(&format!("{path}/answers"), answers).await.unwrap();
    let offer = text(&screen, "/offer/id").unwrap();
    browser.post(&format!("{path}/offers/{offer}/accept"), json!({})).await.unwrap();
    company.until(&browser, &path, "the customer being saved", |s| s["state"] == "saved").await;
    let redemptions = company.admin.get(&format!("/v1/offers/{offer}/redemptions")).await.unwrap();
    let code = text(&redemptions, "/items/0/code").unwrap();
    company.mailbox.wait(&company.address(), mails, |mail| mail.contains(&code).then_some(())).await.unwrap();
    marked.personal("an offer's code", code);
    drop(people::sign_in(&company.public, &company.mailbox, &person).await.unwrap());

    assert!(caller.refusals.len() >= 12, "{:?}", caller.refusals);
    let mut found = Vec::new();
    for refusal in &caller.refusals {
        found.extend(marked.found_in("an error", refusal, &[]));
    }
    let logs = system.stop_and_read().await;
    for (name, log) in &logs {
        assert!(log.lines().count() >= 2, "{name} told nothing: {log}");
        found.extend(marked.found_in(&format!("the log of {name}"), log, &[]));
    }
    assert!(logs.values().any(|log| log.contains("DEBUG") || log.contains("TRACE")), "everything is told");
    let spans = sink::everything();
    assert!(spans.len() > 100, "{} spans", spans.len());
    for span in &spans {
        found.extend(marked.found_in("a span", span, &[]));
    }
    let (events, documents) = (events(&system).await, documents(&system).await);
    assert!(
        events.len() > 50 && documents.len() > 200,
        "{} events, {} documents",
        events.len(),
        documents.len()
    );
    for (subject, event) in &events {
        let mail = subject.ends_with(".ev.mail.requested");
        let allowed = if mail { &[Secrecy::Personal, Secrecy::Mailed][..] } else { &[Secrecy::Personal] };
        found.extend(marked.found_in(&format!("an event at {subject}"), event, allowed));
    }
    for (place, document) in &documents {
        found.extend(marked.found_in(place, document, &[Secrecy::Personal]));
    }
    found.sort();
    found.dedup();
    assert!(found.is_empty(), "{} finds:\n{}", found.len(), found.join("\n"));
}

/// Every message of every stream of this system, headers included, by subject.
async fn events(system: &Processes) -> Vec<(String, String)> {
    let client = async_nats::connect(&system.data.data.nats_url).await.unwrap();
    let context = jetstream::new(client);
    let mut all = Vec::new();
    for stream in ["events", "dead"] {
        let name = format!("{}-{stream}", system.data.data.nats_prefix);
        let mut stream = context.get_stream(name).await.unwrap();
        let messages = stream.info().await.unwrap().state.messages;
        if messages == 0 {
            continue;
        }
        let config = jetstream::consumer::pull::OrderedConfig::default();
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap().take(usize::try_from(messages).unwrap());
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            let body = String::from_utf8_lossy(&message.payload).into_owned();
            all.push((message.subject.to_string(), format!("{body} {:?}", message.headers)));
        }
    }
    all
}

/// Every document of every database of this system, by collection.
async fn documents(system: &Processes) -> Vec<(String, String)> {
    let data = &system.data.data;
    let client = mongodb::Client::with_uri_str(&data.mongo_uri).await.unwrap();
    let mut all = BTreeMap::<String, Vec<String>>::new();
    for name in client.list_database_names().await.unwrap() {
        if !name.starts_with(&format!("{}_", data.mongo_prefix)) {
            continue;
        }
        let db = client.database(&name);
        for collection in db.list_collection_names().await.unwrap() {
            let found = db.collection::<bson::Document>(&collection).find(bson::doc! {}).await.unwrap();
            let found: Vec<_> = found.try_collect().await.unwrap();
            let texts = found.into_iter().map(|document| read(&bson::Bson::Document(document)));
            all.entry(format!("{name}.{collection}")).or_default().extend(texts);
        }
    }
    all.into_iter()
        .flat_map(|(place, texts)| texts.into_iter().map(move |text| (place.clone(), text)))
        .collect()
}

/// All text of a value, and bytes as if they were.
fn read(value: &bson::Bson) -> String {
    match value {
        bson::Bson::Document(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}: {}", read(value)));
            fields.collect::<Vec<_>>().join("\n")
        }
        bson::Bson::Array(values) => values.iter().map(read).collect::<Vec<_>>().join("\n"),
        bson::Bson::Binary(binary) => String::from_utf8_lossy(&binary.bytes).into_owned(),
        bson::Bson::String(text) => text.clone(),
        other => other.to_string(),
    }
}
