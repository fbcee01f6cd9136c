//! The page we host, by a browser that runs no scripts: links, forms and redirects only.

use serde_json::json;
use stack::load::api::text;

use crate::company::Company;
use crate::world::World;

struct Browser {
    http: reqwest::Client,
    address: String,
    page: String,
}

impl Browser {
    async fn open(address: String) -> Self {
        let http = reqwest::Client::builder().build().unwrap();
        let mut browser = Self { http, address, page: String::new() };
        let answer = browser.http.get(&browser.address).send().await.unwrap();
        browser.show(answer).await;
        browser
    }

    async fn show(&mut self, answer: reqwest::Response) {
        assert_eq!(answer.status().as_u16(), 200);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
        self.address = answer.url().to_string();
        self.page = answer.text().await.unwrap();
        assert!(!self.page.contains("<script"));
    }

    /// Presses a button of the form that has it, with what else the form holds.
    async fn press(&mut self, button: &str, chosen: &[(&str, &str)]) {
        let forms = self.page.split("<form").skip(1);
        let mut forms = forms.filter(|f| f.contains(&format!("name=\"do\" value=\"{button}\"")));
        let form = forms.next().unwrap_or_else(|| panic!("no button {button} in {}", self.page));
        let hidden = form.split("<input type=\"hidden\" name=\"").skip(1);
        let mut fields: Vec<_> = hidden
            .filter_map(|i| i.split('>').next()?.trim_end_matches('"').split_once("\" value=\""))
            .collect();
        fields.extend(chosen);
        fields.push(("do", button));
        let answer = self.http.post(&self.address).form(&fields).send().await.unwrap();
        self.show(answer).await;
    }
}

#[tokio::test]
async fn a_customer_is_saved_by_forms_and_may_cancel_on_every_page() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let mut browser = Browser::open(text(&company.noted, "/hosted_url").unwrap()).await;
    assert!(browser.page.contains("Before you go") && browser.page.contains("data-cancel-now"));
    browser.press("next", &[("q.reason", "too_expensive")]).await;
    assert!(browser.page.contains("20 %") && browser.page.contains("data-cancel-now"), "{}", browser.page);
    browser.press("accept", &[]).await;
    assert!(browser.page.contains("Glad you stay") && !browser.page.contains("data-cancel-now"));
    assert_eq!(company.at_provider().await["discounts"][0]["percent_off"], 20);

    // The link is used up; a new one for the same customer begins anew, as nothing is open.
    let used = reqwest::get(&text(&company.noted, "/hosted_url").unwrap()).await.unwrap();
    assert_eq!(used.status().as_u16(), 410, "{}", used.text().await.unwrap());
    let body = json!({ "customer": company.customer() });
    let token = company.machine.post("/v1/flow/tokens", body).await.unwrap();
    let mut browser = Browser::open(text(&token, "/hosted_url").unwrap()).await;
    browser.press("cancel", &[]).await;
    assert!(browser.page.contains("Goodbye"), "{}", browser.page);
    assert_eq!(company.at_provider().await["state"], "non_renewing");
    world.stack.stop().await.unwrap();
}
