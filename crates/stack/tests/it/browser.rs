//! Headless Chromium, driven by the scripts in `tools/`, and the example page in it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use stack::load::api::text;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::company::Company;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What is missing to drive a browser on this machine.
pub fn missing() -> Option<&'static str> {
    let browsers = ["/usr/bin/chromium", "/usr/bin/google-chrome", "/usr/bin/chromium-browser"];
    let on_path = |name: &str| {
        let asked = std::process::Command::new(name).arg("--version").output();
        asked.is_ok_and(|o| o.status.success())
    };
    let modules = Path::new(ROOT).join("tools/node_modules");
    if !["playwright-core", "axe-core"].iter().all(|m| modules.join(m).is_dir()) {
        return Some("playwright-core or axe-core (npm --prefix tools ci)");
    }
    if !on_path("node") {
        return Some("node");
    }
    (!browsers.iter().any(|b| Path::new(b).exists())).then_some("chromium")
}

/// Where the pictures of this run are kept.
pub fn pictures() -> PathBuf {
    Path::new(ROOT).join(".dev/pictures")
}

/// Runs a script of `tools/` to its end; what it saw.
pub async fn drive(script: &str, arguments: &[&str]) -> Value {
    let mut browser = Command::new("node");
    browser.arg(script).args(arguments).current_dir(Path::new(ROOT).join("tools")).kill_on_drop(true);
    let done = tokio::time::timeout(Duration::from_secs(180), browser.output()).await;
    let done = done.expect("the browser ended").unwrap();
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{script} {arguments:?}: {said}\n{errors}");
    serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap()
}

/// The example page, served by its own server for one customer.
pub struct Example {
    pub address: String,
    _server: Child,
}

impl Example {
    /// Starts `examples/widget` and lets the company's widget in there.
    pub async fn start(gateway: &str, company: &Company, customer: &str, region: &str) -> Self {
        let mut server = Command::new("node");
        server.arg("examples/widget/server.mjs").current_dir(ROOT);
        server.env("RETENTION_API", gateway).env("PORT", "0");
        server.env("RETENTION_KEY", text(&company.noted, "/api_key_live").unwrap());
        server.env("CUSTOMER", customer).env("REGION", region);
        let mut server = server.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let said = tokio::time::timeout(Duration::from_secs(30), lines.next_line())
            .await
            .expect("the example listens");
        let address = said.unwrap().expect("the example says where it listens");
        let id = text(&company.noted, "/company_id").unwrap();
        let read = company.admin.get(&format!("/v1/companies/{id}")).await.unwrap();
        let origins = json!([address.trim_end_matches('/')]);
        let body = json!({ "version": read["version"], "widget_origins": origins });
        company.admin.call("PATCH", &format!("/v1/companies/{id}"), Some(body)).await.unwrap();
        Self { address, _server: server }
    }
}
