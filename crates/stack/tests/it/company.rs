//! A loaded company: the loader has done its work, and everybody has what they call with.

use clap::{Args, Command, FromArgMatches};
use kit::ExposeSecret;
use serde_json::{Value, json};
use stack::load::api::{Api, text};
use stack::load::mailbox::Mailbox;
use stack::load::{Options, people};
use testkit::eventually;
use testkit::stripe::FakeStripe;

use crate::world::Site;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo");
/// Where the starter library is.
pub const STARTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../starter");

pub struct Company {
    /// The API as anybody.
    pub public: Api,
    /// As the company's server.
    pub machine: Api,
    /// As the retention admin.
    pub admin: Api,
    pub mailbox: Mailbox,
    /// What the loader noted.
    pub noted: Value,
}

/// Runs the loader as its command line would; what it noted.
pub async fn load(site: &Site, arguments: &[&str]) -> Value {
    let path = site.file("endpoints.json");
    let mut endpoints: Value = match std::fs::read_to_string(&path) {
        Ok(noted) => serde_json::from_str(&noted).unwrap(),
        Err(_) => json!({}),
    };
    endpoints["gateway"] = site.gateway.clone().into();
    endpoints["mail_dir"] = site.file("mail").display().to_string().into();
    endpoints["operator"] = "operator@example.com".into();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, endpoints.to_string()).unwrap();
    let file = path.display().to_string();
    let given = ["load", "--endpoints", &file, "--demo-folder", DEMO, "--starter-folder", STARTER];
    let matches = Options::augment_args(Command::new("load")).get_matches_from(given.iter().chain(arguments));
    let options = Options::from_arg_matches(&matches).unwrap();
    stack::load::run(options, std::sync::Arc::new(testkit::clock())).await.unwrap();
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

impl Company {
    /// The demo company with its first customers.
    pub async fn demo(site: &Site) -> Self {
        let endpoints = load(site, &["--demo", "--most", "60"]).await;
        Self::of(site, endpoints["demo"].clone()).await
    }

    /// A company without content, with one customer.
    pub async fn bare(site: &Site) -> Self {
        let row = "c-1,ada@example.com,Ada,en,GB,GBP,fibre,2900,month,2025-02-01T00:00:00Z,";
        Self::with(site, "bare", &[row.to_owned()]).await
    }

    /// A company without content, with these customers: lines of the loader's file.
    pub async fn with(site: &Site, slug: &str, rows: &[String]) -> Self {
        let file = site.file("customers.csv");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let head =
            "external_id,email,name,locale,country,currency,plan,price_minor,interval,started_at,ended_at";
        std::fs::write(&file, format!("{head}\n{}\n", rows.join("\n"))).unwrap();
        let file = file.display().to_string();
        let endpoints = load(site, &["--slug", slug, "--customers", &file]).await;
        Self::of(site, endpoints["companies"][slug].clone()).await
    }

    async fn of(site: &Site, noted: Value) -> Self {
        let public = Api::new(&site.gateway).unwrap();
        let mailbox = Mailbox::new(&site.file("mail"));
        let admin = text(&noted, "/users/ret_admin").unwrap();
        let admin = people::sign_in(&public, &mailbox, &admin).await.unwrap();
        let machine = public.with_token(&text(&noted, "/api_key_live").unwrap());
        Self { public, machine, admin, mailbox, noted }
    }

    /// A customer who is good to try the flow with, by the company's own id.
    pub fn customer(&self) -> String {
        text(&self.noted, "/customers/0").unwrap()
    }

    /// Where the customer's mails go.
    pub fn address(&self) -> String {
        format!("{}@customers.example", self.customer().to_lowercase())
    }

    /// Takes the customer into the cancel flow: the first screen, and the API as the customer's browser calls it.
    pub async fn enter(&self) -> (Value, Api) {
        let token =
            self.machine.post("/v1/flow/tokens", json!({ "customer": self.customer() })).await.unwrap();
        let token = text(&token, "/token").unwrap();
        let screen = self.public.post("/v1/flow/sessions", json!({ "token": token })).await.unwrap();
        let browser = self.public.with_token(&text(&screen, "/session_token").unwrap());
        (screen, browser)
    }

    /// The customer's subscription as it stands at the simulated provider, not in our mirror.
    pub async fn at_provider(&self) -> Value {
        let path = format!("/v1/billing/simulated/subscriptions/sub_{}", self.customer());
        self.machine.get(&path).await.unwrap()
    }

    /// Connects a Stripe, reads it in, and lets it send its webhooks; the admin in test mode, where Stripe's test keys
    /// belong.
    pub async fn connect_stripe(&self, site: &Site, stripe: &FakeStripe) -> Api {
        let admin = self.admin.with_header("retention-mode", "test".into());
        let (secret, webhook) = (stripe.key(), stripe.webhook_secret());
        let keys = json!({ "secret": secret.expose_secret(), "webhook_secret": webhook.expose_secret() });
        let connected = admin.put("/v1/billing/stripe", keys).await.unwrap();
        assert_eq!(connected["status"], "connected", "{connected}");
        admin.post("/v1/billing/stripe/sync", json!({})).await.unwrap();
        self.until(&admin, "/v1/billing/stripe", "the sync", |c| c["sync"]["state"] == "done").await;
        let key = text(&self.noted, "/company_key").unwrap();
        stripe.send_webhooks_to(&format!("{}/v1/inbound/stripe/{key}", site.gateway));
        admin
    }

    /// Asks until the answer is as it should be.
    pub async fn until(&self, api: &Api, path: &str, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || api.get(path).await.ok().filter(&right)).await
    }
}
