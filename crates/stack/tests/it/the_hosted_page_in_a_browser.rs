//! The hosted page in a real browser: headless Chromium, driven by `tools/hosted-page.mjs`.

use std::path::Path;

use stack::load::api::text;
use tokio::process::Command;

use crate::company::Company;
use crate::world::World;

const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools");

/// What is missing to drive a browser on this machine.
fn missing() -> Option<&'static str> {
    let found = |name: &str| ["/usr/bin", "/usr/local/bin"].iter().any(|d| Path::new(d).join(name).exists());
    let on_path = |name: &str| {
        let asked = std::process::Command::new(name).arg("--version").output();
        asked.is_ok_and(|o| o.status.success())
    };
    if !Path::new(TOOLS).join("node_modules/playwright-core").is_dir() {
        return Some("playwright-core (npm --prefix tools ci)");
    }
    if !on_path("node") {
        return Some("node");
    }
    if !found("chromium") {
        return Some("/usr/bin/chromium");
    }
    None
}

#[tokio::test]
async fn a_customer_is_saved_by_clicking() {
    if let Some(what) = missing() {
        println!("SKIPPED: no browser journey, as {what} is missing");
        return;
    }
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let mut browser = Command::new("node");
    browser.arg("hosted-page.mjs").arg(text(&company.noted, "/hosted_url").unwrap());
    browser.current_dir(TOOLS).kill_on_drop(true);
    let done = tokio::time::timeout(std::time::Duration::from_secs(120), browser.output()).await;
    let done = done.expect("the browser ended").unwrap();
    let (said, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said}\n{errors}");
    assert!(said.contains("Before you go") && said.contains("Glad you stay"), "{said}");
    assert_eq!(company.at_provider().await["discounts"][0]["percent_off"], 20);
    world.stack.stop().await.unwrap();
}
