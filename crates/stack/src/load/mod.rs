//! Loads a company through the public API: its people, customers, usage, personas, offers and content. What the demo
//! shows is what any company can do with its own files. `starter.rs` puts ready flows into a company that is there.

pub mod api;
mod customers;
mod link;
pub mod mailbox;
pub mod people;
mod progress;
mod rows;
mod starter;
mod steps;
mod telco;
mod token;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use jiff::Timestamp;
use kit::SharedClock;
use serde_json::{Map, Value, json};

use api::{Api, text};
pub use link::LinkOptions;
use mailbox::Mailbox;
use progress::done;
use rows::Row;
use starter::StarterOptions;
pub use token::{TokenOptions, run as run_token};

/// How many customers are named as ones to try the flow with.
const TO_TRY: usize = 5;

/// What to load, and into which running system.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "\
Another company's files:

  cargo xtask up --empty --detach
  cargo xtask load --slug acme --name 'Acme Fibre' --admin ada@acme.example --expert eve@acme.example \\
      --customers customers.csv --usage usage.csv --steps content/

customers.csv has a line per customer with one subscription, which it gets at the built-in simulated provider:

  external_id,email,name,locale,country,currency,plan,price_minor,interval,started_at,ended_at
  c-1001,ada@example.com,Ada,en-GB,GB,GBP,fibre,2900,month,2025-02-01T00:00:00Z,

usage.csv has a column external_id; every other column becomes the fact usage_<column>, which persona rules read.
--steps names a folder with the subfolders offers, personas and content (any of them may be missing) of files with calls
of the public API, as demo/ has them; demo/README.md describes the form. All files are made again from the start when a
load broke off: what is there already is kept.

Flows to begin with, into a company that is loaded:

  cargo xtask load --slug acme --starter all
  cargo xtask load --slug acme --starter saas-monthly --publish

They are drafts, and nobody sees them, until they are published. starter/README.md says what each is for and what to
change first.")]
pub struct Options {
    /// Where the running system is: the file `up` wrote. What was loaded is noted there.
    #[arg(long, default_value = ".dev/endpoints.json")]
    endpoints: PathBuf,
    /// The demo company, from the files in `demo/`.
    #[arg(long, conflicts_with_all = ["customers", "usage", "steps"])]
    demo: bool,
    /// Where the demo's files are.
    #[arg(long, default_value = "demo", hide = true)]
    demo_folder: PathBuf,
    /// The company's name.
    #[arg(long, default_value = "Fernline Telecom")]
    name: String,
    /// The company's short name in addresses; what has been loaded under it is left as it is.
    #[arg(long, default_value = "fernline")]
    slug: String,
    /// The retention admin's e-mail address; `admin@SLUG.example` when left out.
    #[arg(long)]
    admin: Option<String>,
    /// The retention expert's e-mail address; `expert@SLUG.example` when left out.
    #[arg(long)]
    expert: Option<String>,
    /// The company's currency.
    #[arg(long, default_value = "USD")]
    currency: String,
    /// The company's time zone.
    #[arg(long, default_value = "America/New_York")]
    time_zone: String,
    /// Languages of the content, the default first.
    #[arg(long, value_delimiter = ',', default_value = "en,de,ar")]
    locales: Vec<String>,
    /// Customers with one subscription each (CSV).
    #[arg(long)]
    customers: Option<PathBuf>,
    /// Product usage (CSV).
    #[arg(long)]
    usage: Option<PathBuf>,
    /// Folder with the calls that make offers, personas and content.
    #[arg(long)]
    steps: Option<PathBuf>,
    /// Load only the first so many customers.
    #[arg(long)]
    most: Option<usize>,
    #[command(flatten)]
    starter: StarterOptions,
}

impl Options {
    fn admin(&self) -> String {
        self.admin.clone().unwrap_or_else(|| format!("admin@{}.example", self.slug))
    }

    fn expert(&self) -> String {
        self.expert.clone().unwrap_or_else(|| format!("expert@{}.example", self.slug))
    }
}

/// Loads the company. A company that was loaded whole is left as it is, and gets a fresh link to its cancel page.
pub async fn run(options: Options, clock: SharedClock) -> Result<()> {
    if let Some(flow) = &options.starter.starter {
        return Box::pin(starter::run(&options.starter, flow, &options.endpoints, &options.slug)).await;
    }
    let mut endpoints = read_endpoints(&options.endpoints)?;
    let api = Api::new(&text(&endpoints, "/gateway")?)?;
    let place = if options.demo { None } else { Some(options.slug.as_str()) };
    if let Some(mut loaded) = loaded(&api, &endpoints, place).await {
        done(&format!("{} is there already", options.slug));
        loaded["hosted_url"] = link::fresh(&api, &loaded, None).await?.into();
        return note(&options.endpoints, &mut endpoints, place, loaded);
    }
    let loaded = load(&options, &api, &endpoints, &clock).await?;
    if let Some(slug) = place {
        done(&format!("its keys stand in {}", options.endpoints.display()));
        done(&format!("`cargo xtask link --slug {slug}` makes a link to its cancel page"));
    }
    note(&options.endpoints, &mut endpoints, place, loaded)
}

/// A fresh link to the hosted cancel page, on standard output.
pub async fn run_link(options: LinkOptions) -> Result<()> {
    let endpoints = read_endpoints(&options.endpoints)?;
    let api = Api::new(&text(&endpoints, "/gateway")?)?;
    let company = company_of(&endpoints, options.slug.as_deref());
    let company = company.context("no company is loaded; see `cargo xtask load --help`")?;
    println!("{}", link::fresh(&api, company, options.customer.as_deref()).await?);
    Ok(())
}

async fn load(options: &Options, api: &Api, endpoints: &Value, clock: &SharedClock) -> Result<Value> {
    let mailbox = Mailbox::new(Path::new(&text(endpoints, "/mail_dir")?));
    let operator_address = text(endpoints, "/operator")?;
    let (rows, usage) = files(options, clock.now()).await?;

    let begun = Instant::now();
    let operator = people::sign_in(api, &mailbox, &operator_address).await?;
    let company = people::company(&operator, company(options)).await?;
    let id = text(&company, "/id")?;
    let as_operator = operator
        .with_header("retention-company", id.clone())
        .with_header("retention-reason", "setting up the company".into());
    people::join(api, &as_operator, &mailbox, (&options.admin(), "Retention admin", "ret_admin")).await?;
    let admin = people::sign_in(api, &mailbox, &options.admin()).await?;
    people::join(api, &admin, &mailbox, (&options.expert(), "Retention expert", "ret_exp")).await?;
    let live = people::api_key(&admin, &id, "live", "loader").await?;
    let test = people::api_key(&admin, &id, "test", "loader").await?;
    let machine = api.with_token(&live);
    done(&format!("company {} with an admin, an expert and two keys", options.slug));

    customers::subscriptions(&admin, &machine, &rows).await?;
    if let Some(usage) = usage {
        customers::usage(&admin, &machine, rows.len(), usage).await?;
    }
    let steps = options.demo.then(|| options.demo_folder.clone()).or_else(|| options.steps.clone());
    if let Some(folder) = steps {
        let mut saved = steps::Saved::default();
        for part in ["offers", "personas", "content"].map(|p| (p, folder.join(p))) {
            if part.1.is_dir() {
                let made = steps::run(&admin, &part.1, &mut saved).await?;
                done(&format!("{}: {made} calls", part.0));
            }
        }
        customers::personas(&admin, clock).await?;
    }
    let mut loaded = json!({
        "company_id": id,
        "company_key": text(&company, "/public_key")?,
        "slug": options.slug,
        "users": { "kale_admin": operator_address, "ret_admin": options.admin(), "ret_exp": options.expert() },
        "api_key_live": live,
        "api_key_test": test,
        "customers": to_try(&rows),
    });
    loaded["hosted_url"] = link::fresh(api, &loaded, None).await?.into();
    done(&format!("loaded in {:.0} s", begun.elapsed().as_secs_f64()));
    Ok(loaded)
}

fn company(options: &Options) -> Value {
    json!({
        "name": options.name,
        "slug": options.slug,
        "default_currency": options.currency,
        "time_zone": options.time_zone,
        "locales": options.locales,
        "product_upload_enabled": true,
        // The example page (examples/widget) is the demo company's own.
        "widget_origins": if options.demo { vec!["http://127.0.0.1:7480"] } else { Vec::new() },
    })
}

/// The customers and the usage file, from the demo or from the company's own files.
async fn files(options: &Options, now: Timestamp) -> Result<(Vec<Row>, Option<Vec<u8>>)> {
    let read =
        |path: &Path| std::fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    let (mut rows, usage) = if options.demo {
        let (rows, usage) =
            telco::read(&read(&options.demo_folder.join("telco/customers.csv"))?, now).await?;
        (rows, Some(usage))
    } else {
        let Some(customers) = &options.customers else {
            bail!("say `--demo`, or name a file with `--customers`; see `cargo xtask load --help`")
        };
        let usage = options.usage.as_deref().map(read).transpose()?;
        (rows::read(&read(customers)?).await?, usage.map(String::from_utf8).transpose()?)
    };
    let most = options.most.unwrap_or(usize::MAX);
    rows.truncate(most);
    let usage = usage.map(|text| match most {
        usize::MAX => text,
        // The rows of customers that are not loaded would find nobody.
        most if options.demo => text.lines().take(most + 1).map(|l| format!("{l}\n")).collect(),
        _ => text,
    });
    Ok((rows, usage.map(String::into_bytes)))
}

/// Customers who are good to try the flow with: running month by month, and begun in the last year, where there are
/// such.
fn to_try(rows: &[Row]) -> Vec<String> {
    let running: Vec<_> = rows.iter().filter(|r| r.ended_at.is_none()).collect();
    let mut likely: Vec<_> = running.iter().filter(|r| r.plan == "fiber_optic_month_to_month").collect();
    likely.sort_by_key(|r| std::cmp::Reverse(r.started_at));
    let ids = likely.into_iter().chain(&running).map(|r| r.external_id.clone());
    ids.take(TO_TRY).collect()
}

fn read_endpoints(path: &Path) -> Result<Value> {
    let file = std::fs::read_to_string(path).with_context(|| {
        format!("{} is not there; start the system with `cargo xtask up`", path.display())
    })?;
    Ok(serde_json::from_str(&file)?)
}

/// What was noted of the demo, or of another company.
fn company_of<'a>(endpoints: &'a Value, slug: Option<&str>) -> Option<&'a Value> {
    match slug {
        None => endpoints.get("demo"),
        Some(slug) => endpoints.get("companies")?.get(slug),
    }
}

/// The noted company, if it answers to its noted key.
async fn loaded(api: &Api, endpoints: &Value, slug: Option<&str>) -> Option<Value> {
    let noted = company_of(endpoints, slug)?;
    let machine = api.with_token(&text(noted, "/api_key_live").ok()?);
    machine.get("/v1/customers?limit=1").await.is_ok().then(|| noted.clone())
}

fn note(path: &Path, endpoints: &mut Value, slug: Option<&str>, company: Value) -> Result<()> {
    match slug {
        None => endpoints["demo"] = company,
        Some(slug) => {
            if !endpoints["companies"].is_object() {
                endpoints["companies"] = Map::new().into();
            }
            endpoints["companies"][slug] = company;
        }
    }
    std::fs::write(path, format!("{endpoints:#}\n"))
        .with_context(|| format!("failed to write {}", path.display()))
}
