//! A fake billing provider as a process, with a little world in it: what `cargo xtask up --with fake-stripe` starts. It
//! forgets everything when it ends, and belongs to no release.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use kit::ExposeSecret;
use kit::clock::MovedClock;
use serde_json::{Value, json};
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
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    kit::run::crypto();
    let args = Args::parse();
    let address = format!("127.0.0.1:{}", args.port);
    match args.provider {
        Kind::Stripe => {
            let fake = FakeStripe::start_on(&address, MovedClock::default()).await;
            if let Some(url) = &args.webhooks {
                fake.send_webhooks_to(url);
            }
            write(&args.note, &stripe(&fake))?;
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}

/// A plan with two prices and three subscribers, and how to reach it all.
fn stripe(fake: &FakeStripe) -> Value {
    let product = fake.add_product("Fibre");
    let month = fake.add_price(&product, 2_900, "eur", "month");
    let year = fake.add_price(&product, 29_000, "eur", "year");
    let people = [("ada", &month), ("grace", &month), ("alan", &year)];
    let subscriptions = people.map(|(name, price)| {
        let customer = fake.add_customer(&format!("{name}@example.com"), name);
        fake.add_subscription(&customer, price)
    });
    let (url, key) = (fake.url(), fake.key());
    let act = format!(
        "curl -s {url}/v1/subscriptions/{} -H 'Authorization: Bearer {}' -H 'Stripe-Version: {}' -d cancel_at_period_end=true",
        subscriptions[0],
        key.expose_secret(),
        testkit::stripe::VERSION
    );
    json!({
        "url": url,
        "secret": key.expose_secret(),
        "webhook_secret": fake.webhook_secret().expose_secret(),
        "subscriptions": subscriptions,
        "try": act,
    })
}

/// Whole or not at all: whoever waits for the file reads it at once.
fn write(note: &std::path::Path, value: &Value) -> anyhow::Result<()> {
    let part = note.with_extension("part");
    std::fs::write(&part, format!("{value:#}\n")).context("the note cannot be written")?;
    std::fs::rename(&part, note).context("the note cannot be written")
}
