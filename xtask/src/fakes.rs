//! Fakes of billing providers beside the running system: `cargo xtask up --with fake-stripe --with fake-recurly`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::Value;

use crate::dev::Settings;
use crate::process::Slot;

/// The fakes there are. Another one is a line in each list here and one in `testkit`'s `fakes.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fake {
    #[value(name = "fake-stripe")]
    Stripe,
    #[value(name = "fake-chargebee")]
    Chargebee,
    #[value(name = "fake-recurly")]
    Recurly,
}

/// Their names, for whoever stops them.
pub const NAMES: [&str; 3] = [Fake::Stripe.name(), Fake::Chargebee.name(), Fake::Recurly.name()];

impl Fake {
    /// The name of its process.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "fake-stripe",
            Self::Chargebee => "fake-chargebee",
            Self::Recurly => "fake-recurly",
        }
    }

    /// The provider, as the API names it.
    fn provider(self) -> &'static str {
        self.name().trim_start_matches("fake-")
    }

    /// The setting that leads billing to it.
    fn setting(self) -> String {
        format!("RETENTION_{}_URL", self.provider().to_uppercase())
    }

    fn slot(self, folder: &Path) -> Slot {
        Slot::new(&folder.join("run"), self.name())
    }
}

/// Where each fake will listen, before the services start: billing reads it only then.
pub fn settings(folder: &Path, with: &[Fake], settings: &mut Settings) -> Result<()> {
    for fake in with {
        settings.reserve(folder, fake.name())?;
    }
    // Not kept: the next `up` without them goes to the providers themselves.
    for fake in with {
        let address = settings.address(fake.name());
        settings.more.insert(fake.setting(), address);
        settings.more.insert("RETENTION_PRIVATE_NETWORKS".into(), "true".into());
    }
    Ok(())
}

/// Starts the fakes, each with a little world of its own, and says how to connect to them.
pub fn start(
    folder: &Path,
    with: &[Fake],
    settings: &Settings,
    binaries: &Path,
    endpoints: &Value,
) -> Result<String> {
    let mut text = String::new();
    for fake in with {
        let slot = fake.slot(folder);
        slot.stop(Duration::from_secs(5))?;
        let note = folder.join("run").join(format!("{}.json", fake.name()));
        fs::remove_file(&note).ok();
        let mut command = Command::new(binaries.join("fakes"));
        command.arg(fake.provider()).arg("--port").arg(settings.port(fake.name()).to_string());
        command.arg("--note").arg(&note);
        if let Some(key) = endpoints.pointer("/demo/company_key").and_then(Value::as_str) {
            let door = format!("{}/v1/inbound/{}/{key}", settings.address("gateway"), fake.provider());
            command.arg("--webhooks").arg(door);
        }
        slot.start(&mut command)?;
        slot.wait(Duration::from_secs(20), || note.exists())?;
        let noted = fs::read_to_string(&note).context("the fake did not say how to reach it")?;
        text += &how_to_connect(*fake, &serde_json::from_str(&noted)?, endpoints);
    }
    Ok(text)
}

fn how_to_connect(fake: Fake, noted: &Value, endpoints: &Value) -> String {
    let at =
        |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or("-").to_owned();
    let (gateway, provider) = (at(endpoints, "/gateway"), fake.provider());
    let (admin, mailbox) = (at(endpoints, "/demo/users/ret_admin"), at(endpoints, "/mail_dir"));
    let keys: BTreeMap<_, _> = ["secret", "webhook_secret", "site", "region"]
        .into_iter()
        .filter_map(|name| Some((name, noted.get(name)?.as_str()?)))
        .collect();
    let keys = serde_json::json!(keys);
    let sessions = format!("curl -s {gateway}/v1/sessions -H 'Content-Type: application/json'");
    format!(
        "\n{name:<17} {url}, key {secret}; its subscriptions: {subscriptions}\n\
         Connect it to the demo company's test mode, signed in as its admin (the code is in {mailbox}):\n  \
         {sessions} -d '{{\"email\":\"{admin}\"}}'\n  \
         TOKEN=$({sessions} -d '{{\"email\":\"{admin}\",\"code\":\"CODE\"}}' | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n  \
         curl -s -X PUT {gateway}/v1/billing/{provider} -H \"Authorization: Bearer $TOKEN\" -H 'Retention-Mode: test' \
         -H 'Content-Type: application/json' -d '{keys}'\n  \
         curl -s -X POST {gateway}/v1/billing/{provider}/sync -H \"Authorization: Bearer $TOKEN\" -H 'Retention-Mode: test' \
         -H 'Content-Type: application/json' -d '{{}}'\n\
         Cancel one at the provider and watch the webhook arrive:\n  \
         {act}\n  \
         curl -s {gateway}/v1/inbound/events -H \"Authorization: Bearer $TOKEN\" -H 'Retention-Mode: test'\n\
         Have one worked on again, by its id in that list:\n  \
         curl -s -X POST {gateway}/v1/inbound/events/ID/replay -H \"Authorization: Bearer $TOKEN\" -H 'Retention-Mode: test' \
         -H 'Content-Type: application/json' -d '{{}}'\n",
        name = fake.name(),
        url = at(noted, "/url"),
        secret = at(noted, "/secret"),
        subscriptions = noted["subscriptions"].as_array().map_or(0, Vec::len),
        act = at(noted, "/try"),
    )
}
