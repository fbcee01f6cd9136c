//! What the fake promises, so that a test that passes on it says something.

use serde_json::{Value, json};

use super::spec::{self, spec};
use super::{API_KEY, CLIENT_ID, FakeWorkOs};

#[test]
fn the_description_is_taken_at_its_word() {
    let op = spec().operation("POST", "/organizations").unwrap();
    assert_eq!(spec().request(op, &[], Some(&json!({ "name": "A" }))), Vec::<String>::new());
    let wrong =
        spec().request(op, &[], Some(&json!({ "domain_data": [{ "domain": "a", "state": "mine" }] })));
    assert_eq!(wrong.len(), 2, "no name, and a state that does not exist: {wrong:?}");
    let made_up = spec().request(op, &[], Some(&json!({ "name": "A", "nickname": "B" })));
    assert_eq!(made_up, ["nickname is unknown"]);
    let list = spec().operation("GET", "/events").unwrap();
    let query = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    assert!(spec().request(list, &query("limit", "100"), None).is_empty());
    assert_eq!(spec().request(list, &query("limit", "101"), None).len(), 1);
    assert_eq!(spec().request(list, &query("since", "now"), None).len(), 1);
    assert!(!spec::answer(list, 200, &json!({ "object": "list", "data": [{}] })).is_empty());
    let external = spec().operation("GET", "/organizations/external_id/com_1");
    assert!(external.is_some() && spec().operation("PATCH", "/organizations").is_none());
    assert!(!spec::event(&json!({ "id": "event_1", "event": "user.deleted", "data": {} })).is_empty());
}

#[tokio::test]
async fn a_code_is_traded_once_and_for_its_verifier_only() {
    let fake = FakeWorkOs::start_at(crate::clock()).await;
    let organization = fake.add_organization("Telco");
    fake.add_user("ada@telco.example", true);
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    // RFC 7636, appendix B.
    let (verifier, challenge) =
        ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    let leave = async || {
        let query = [
            ("client_id", CLIENT_ID),
            ("response_type", "code"),
            ("redirect_uri", "http://127.0.0.1/back"),
            ("state", "s"),
            ("organization_id", &organization),
            ("login_hint", "ada@telco.example"),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
        ];
        let url = format!("{}/user_management/authorize", fake.url());
        let answer = http.get(url).query(&query).send().await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        location.split("code=").nth(1).unwrap().to_owned()
    };
    let trade = async |code: &str, verifier: &str| {
        let body = json!({
            "client_id": CLIENT_ID, "client_secret": API_KEY, "grant_type": "authorization_code",
            "code": code, "code_verifier": verifier,
        });
        let answer = http.post(format!("{}/user_management/authenticate", fake.url())).json(&body);
        answer.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let code = leave().await;
    let signed_in = trade(&code, verifier).await;
    assert_eq!(signed_in["user"]["email"], "ada@telco.example", "{signed_in}");
    assert_eq!(trade(&code, verifier).await["error"], "invalid_grant", "twice");
    let code = leave().await;
    assert_eq!(trade(&code, "another").await["error"], "invalid_grant", "another verifier");
    let list = http.get(format!("{}/connections", fake.url())).send().await.unwrap();
    assert_eq!(list.status(), 401, "no key");
}
