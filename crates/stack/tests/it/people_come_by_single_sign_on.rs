//! Somebody of a company's directory signs in through WorkOS in a browser, and is out when the directory says so.

use serde_json::{Value, json};
use stack::load::api::text;
use testkit::workos::FakeWorkOs;

use crate::company::Company;
use crate::world::World;

/// A browser: it keeps cookies and says them back to whoever set them, and shows where it is sent.
struct Browser {
    http: reqwest::Client,
    gateway: String,
    jar: Vec<(String, String)>,
}

impl Browser {
    fn new(gateway: &str) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, gateway: gateway.to_owned(), jar: Vec::new() }
    }

    async fn get(&mut self, url: &str) -> reqwest::Response {
        let mut request = self.http.get(url);
        let ours = url.starts_with(&self.gateway);
        if ours {
            let said: Vec<_> = self.jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", said.join("; "));
        }
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all("set-cookie").iter().filter(|_| ours) {
            let set = set.to_str().unwrap();
            assert!(set.contains("; Secure"), "{set}");
            let (pair, rest) = set.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.retain(|(n, _)| n != name);
            if !rest.contains("Max-Age=0") {
                self.jar.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    /// Where an address leads, from there on our own pages as a path.
    async fn sent(&mut self, url: &str) -> String {
        let answer = self.get(url).await;
        assert!(answer.status().is_redirection(), "{url} answers {}", answer.status());
        answer.headers()["location"].to_str().unwrap().to_owned()
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        self.jar.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[tokio::test]
async fn a_person_of_the_directory_comes_in_and_is_out_when_the_directory_says_so() {
    let workos = FakeWorkOs::start_at(testkit::clock()).await;
    let world = World::start_with(workos.settings()).await;
    let company = Company::bare(&world).await;
    let gateway = world.stack.address("gateway").unwrap();
    workos.send_webhooks_to(&format!("{gateway}/v1/inbound/workos"));

    // The admin names the domain and the groups, and proves and connects at WorkOS.
    let me = company.admin.get("/v1/users/me").await.unwrap();
    let id = text(&me, "/company_id").unwrap();
    let settings = format!("/v1/companies/{id}/sso");
    let wanted = json!({
        "version": 0, "domains": ["telco.example"],
        "role_mapping": [{ "group": "Experts", "role": "ret_exp" }],
    });
    let put = company.admin.put(&settings, wanted).await.unwrap();
    assert_eq!(put["domains"], json!([{ "domain": "telco.example", "verified": false }]), "{put}");
    let link = company.admin.post("/v1/sso/portal-link", json!({ "intent": "sso" })).await.unwrap();
    assert!(text(&link, "/link").unwrap().starts_with(workos.url()));
    let organization = text(&put, "/organization_id").unwrap();
    workos.verify_domains(&organization);
    workos.activate_connection(&organization);
    let directory = workos.link_directory(&organization);
    let experts = workos.add_group(&directory, "Experts");
    let dora = workos.add_person(&directory, "dora@telco.example", &[&experts]);
    let ready = |s: &Value| {
        s["connection_state"] == "active" && s["domains"][0]["verified"] == true && s["directory_id"] != ""
    };
    company.until(&company.admin, &settings, "WorkOS' word", ready).await;

    // Out and back.
    let mut browser = Browser::new(&gateway);
    let authorize = |email: &str| format!("{gateway}/v1/sso/authorize?email={email}&return_to=/offers");
    let nobody = browser.sent(&authorize("eve@elsewhere.example")).await;
    assert_eq!((nobody.as_str(), browser.jar.len()), ("/sign-in?error=sso_unavailable", 0));
    let away = browser.sent(&authorize("dora@telco.example")).await;
    assert!(away.starts_with(workos.url()) && browser.cookie("__Host-oauth_state").is_some());
    let back = browser.sent(&away).await;
    assert!(back.starts_with(&gateway), "{back}");
    // Somebody else's browser cannot come back in her stead, and spoils it for both.
    let mut thief = Browser::new(&gateway);
    assert_eq!(thief.sent(&back).await, "/sign-in?error=sso_failed");
    assert_eq!(browser.sent(&back).await, "/sign-in?error=sso_failed");
    assert!(browser.cookie("__Host-session").is_none() && browser.cookie("__Host-oauth_state").is_none());
    let away = browser.sent(&authorize("dora@telco.example")).await;
    let back = browser.sent(&away).await;
    assert_eq!(browser.sent(&back).await, "/offers");
    assert!(browser.cookie("__Host-session").is_some() && browser.cookie("__Host-oauth_state").is_none());
    let mine = browser.get(&format!("{gateway}/v1/users/me")).await;
    assert_eq!(mine.status(), 200);
    let mine: Value = mine.json().await.unwrap();
    assert_eq!((&mine["email"], &mine["role"]), (&json!("dora@telco.example"), &json!("ret_exp")), "{mine}");

    // A forged word changes nothing, WorkOS' own does.
    let forged = reqwest::Client::builder().build().unwrap().post(format!("{gateway}/v1/inbound/workos"));
    let forged = forged.header("workos-signature", "t=1, v1=00").body("{}").send().await.unwrap();
    assert_eq!(forged.status(), 401);
    workos.set_state(&dora, "inactive");
    testkit::eventually("the next request being refused", async || {
        let answer = browser.http.get(format!("{gateway}/v1/users/me"));
        let said = format!("__Host-session={}", browser.cookie("__Host-session").unwrap());
        (answer.header("cookie", said).send().await.unwrap().status() == 401).then_some(())
    })
    .await;
    let away = browser.sent(&authorize("dora@telco.example")).await;
    let back = browser.sent(&away).await;
    assert_eq!(browser.sent(&back).await, "/sign-in?error=sso_failed");
    testkit::eventually("her session at WorkOS ending", async || workos.sessions().is_empty().then_some(()))
        .await;
    world.stack.stop().await.unwrap();
}
