//! A fake billing provider as a process, with a little world in it: what `cargo xtask up --with fake-stripe` starts, and its
//! twins. It forgets everything when it ends, and belongs to no release.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use kit::clock::MovedClock;
use kit::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use testkit::Shell;
use testkit::chargebee::{Catalogue, FakeChargebee};
use testkit::recurly::FakeRecurly;
use testkit::stripe::FakeStripe;

#[derive(Parser)]
#[command(name = "fakes", about = "A fake billing provider with a little world in it")]
struct Args {
    provider: Kind,
    #[arg(long)]
    port: u16,
    /// Where its webhooks go.
    #[arg(long)]
    webhooks: Option<String>,
    /// A file to write how it is reached into, as JSON, once it is.
    #[arg(long)]
    note: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Stripe,
    Chargebee,
    Recurly,
}

/// Who subscribes: the last one to something else than the others.
const PEOPLE: [(&str, bool); 3] = [("ada", false), ("grace", false), ("alan", true)];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    kit::run::crypto();
    let args = Args::parse();
    let (address, clock) = (format!("127.0.0.1:{}", args.port), MovedClock::default());
    // Each lives until the process ends.
    match args.provider {
        Kind::Stripe => {
            let fake = FakeStripe::start_on(&address, clock).await;
            tell_of_it(&args, &fake, || stripe(&fake))?;
            std::future::pending().await
        }
        Kind::Chargebee => {
            let fake = FakeChargebee::start_on(&address, clock, Catalogue::Items).await;
            tell_of_it(&args, &fake, || chargebee(&fake))?;
            std::future::pending().await
        }
        Kind::Recurly => {
            let fake = FakeRecurly::start_on(&address, clock).await;
            tell_of_it(&args, &fake, || recurly(&fake))?;
            std::future::pending().await
        }
    }
}

/// Makes a fake's world and writes down how it is reached.
fn tell_of_it<W, F: Copy, S: Clone>(
    args: &Args,
    fake: &Shell<W, F, S>,
    world: impl FnOnce() -> Value,
) -> anyhow::Result<()> {
    let world = world();
    // Nobody is connected to hear of how it was made.
    if let Some(url) = &args.webhooks {
        fake.send_webhooks_to(url);
    }
    write(&args.note, &world)
}

/// How a fake is reached, and one thing to do to it.
fn noted(
    url: &str,
    key: &SecretString,
    webhook_secret: &SecretString,
    subscriptions: &[String],
    act: &str,
) -> Value {
    json!({
        "url": url,
        "secret": key.expose_secret(),
        "webhook_secret": webhook_secret.expose_secret(),
        "subscriptions": subscriptions,
        "try": act,
    })
}

fn stripe(fake: &FakeStripe) -> Value {
    let product = fake.add_product("Fibre");
    let month = fake.add_price(&product, 2_900, "eur", "month");
    let year = fake.add_price(&product, 29_000, "eur", "year");
    let subscriptions = PEOPLE.map(|(name, other)| {
        let customer = fake.add_customer(&format!("{name}@example.com"), name);
        fake.add_subscription(&customer, if other { &year } else { &month })
    });
    let (url, key) = (fake.url(), fake.key());
    let act = format!(
        "curl -s {url}/v1/subscriptions/{} -H 'Authorization: Bearer {}' -H 'Stripe-Version: {}' -d cancel_at_period_end=true",
        subscriptions[0],
        key.expose_secret(),
        testkit::stripe::VERSION
    );
    noted(url, &key, &fake.webhook_secret(), &subscriptions, &act)
}

fn chargebee(fake: &FakeChargebee) -> Value {
    let large = fake.add_price("fibre", "fibre-EUR-monthly", 2_900, "EUR");
    let small = fake.add_price("fibre", "fibre-small-EUR-monthly", 1_900, "EUR");
    let subscriptions = PEOPLE.map(|(name, other)| {
        let customer = fake.add_customer(&format!("{name}@example.com"), name);
        fake.add_subscription(&customer, if other { &small } else { &large }, 0)
    });
    let (url, key) = (fake.url(), fake.key());
    let act = format!(
        "curl -s {url}/api/v2/subscriptions/{}/cancel_for_items -u {}: -d cancel_option=end_of_term",
        subscriptions[0],
        key.expose_secret()
    );
    let mut noted = noted(url, &key, &fake.webhook_secret(), &subscriptions, &act);
    noted["site"] = json!("adafibre-test");
    noted
}

fn recurly(fake: &FakeRecurly) -> Value {
    fake.add_plan("fibre", 29.0, "EUR");
    fake.add_plan("fibre_small", 19.0, "EUR");
    let subscriptions = PEOPLE.map(|(name, other)| {
        let account = fake.add_account(&format!("{name}@example.com"), name);
        let plan = if other { "code-fibre_small" } else { "code-fibre" };
        fake.add_subscription(&account, plan, "EUR")
    });
    let (url, key) = (fake.url(), fake.key());
    let act = format!(
        "curl -s -X PUT {url}/subscriptions/{}/cancel -u {}: -H 'Accept: application/vnd.recurly.{}+json' \
         -H 'Content-Type: application/json' -d '{{\"timeframe\":\"bill_date\"}}'",
        subscriptions[0],
        key.expose_secret(),
        testkit::recurly::VERSION
    );
    let mut noted = noted(url, &key, &fake.webhook_secret(), &subscriptions, &act);
    noted["region"] = json!("eu");
    noted
}

/// Whole or not at all: whoever waits for the file reads it at once.
fn write(note: &std::path::Path, value: &Value) -> anyhow::Result<()> {
    let part = note.with_extension("part");
    std::fs::write(&part, format!("{value:#}\n")).context("the note cannot be written")?;
    std::fs::rename(&part, note).context("the note cannot be written")
}
