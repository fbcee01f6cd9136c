//! Runs every case in alternating rounds, ours and the peer's, and reports the medians and their ratios.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use mongodb::{Client, Database};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cases::{self, Case, Sides, all, ask, seed_cards};
use crate::cpu::{self, Pids};
use crate::figures::{aim, bulk_measured, measured, row, side, work_measured};
use crate::load::{self, Make};
use crate::report::{Idle, Report, Row, Side, print};
use crate::{billing, bulk, mailbox, revocations, visits};

/// The peer's database.
pub const BARE_DATABASE: &str = "bare";
/// How many customers go through a round of (g) or (s).
const EACH: usize = 400;
/// What webhooks of this run are signed with.
pub const STRIPE_SECRET: &str = "whsec_of_the_benchmark";

#[derive(Args)]
pub struct Options {
    /// What the loader noted.
    #[arg(long)]
    endpoints: PathBuf,
    /// What runs: the peer's address, processes and their cold starts.
    #[arg(long)]
    plan: PathBuf,
    /// Where the figures go, as JSON.
    #[arg(long)]
    out: PathBuf,
    /// Only these cases: `a,a_pub,b,c1,c100,d,e,f,g,h,i,j,k,r,s`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long one side of one round takes.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
}

#[derive(Deserialize)]
struct Plan {
    bare: String,
    /// A gateway before the service that does nothing, and the one without checks.
    checked: String,
    unchecked: String,
    pids: Pids,
    cold_start_ms: BTreeMap<String, f64>,
}

/// Requests a second.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn speed(round: &load::Round) -> f64 {
    round.requests as f64 / round.seconds
}

/// Everything a case is measured with.
struct Bench {
    options: Options,
    sides: Sides,
    ours: Pids,
    bare: Pids,
    /// The admin's address, and where their mails arrive.
    admin: (String, String),
}

pub async fn run(options: Options) -> Result<()> {
    let read = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let endpoints: Value = serde_json::from_str(&read(&options.endpoints)?)?;
    let plan: Plan = serde_json::from_str(&read(&options.plan)?)?;
    let text = |pointer: &str| -> Result<String> {
        let found = endpoints.pointer(pointer).and_then(Value::as_str);
        Ok(found.with_context(|| format!("{pointer} is not among the endpoints"))?.to_owned())
    };
    let sides = Sides {
        gateway: text("/gateway")?.trim_start_matches("http://").to_owned(),
        bare: plan.bare.clone(),
        machine_key: text("/demo/api_key_live")?,
        company_key: text("/demo/company_key")?,
        stripe_secret: STRIPE_SECRET.into(),
    };
    let mongo = text("/mongo")?;
    let pids = |of: &dyn Fn(&str) -> bool| -> Pids {
        plan.pids.iter().filter(|(n, _)| of(n)).map(|(n, p)| (n.clone(), *p)).collect()
    };
    let aside = |n: &str| matches!(n, "bare" | "checked" | "unchecked" | "noop");
    let bench = Bench {
        ours: pids(&|n| !aside(n)),
        bare: pids(&|n| matches!(n, "bare" | "mongod")),
        admin: (text("/demo/users/ret_admin")?, text("/mail_dir")?),
        sides,
        options,
    };
    let idle = idle(&plan);
    let before = cpu::load();

    println!("· signing in, seeding");
    let admin = bench.sign_in().await?;
    let keys = json!({ "secret": "sk_live_bench", "webhook_secret": STRIPE_SECRET });
    ask(&bench.sides.gateway, "PUT", "/v1/billing/stripe", &admin, Some(&keys)).await?;
    let customers = customers(&bench.sides).await?;
    let (ours, theirs) = seed_cards(&bench.sides, &admin, &mongo, BARE_DATABASE).await?;
    let client = Client::with_uri_str(&mongo).await?;
    let names = client.list_database_names().await?;
    let analytics =
        names.into_iter().find(|n| n.ends_with("_analytics")).context("analytics has no database")?;
    let identity = client.database(&analytics.replace("_analytics", "_identity"));
    let ledger = client.database(&analytics.replace("_analytics", "_billing"));
    let (analytics, peer) = (client.database(&analytics), client.database(BARE_DATABASE));

    // A case that fails is said and left out: the others' figures are as good without it.
    let mut rows: Vec<Row> = Vec::new();
    let mut failed = Vec::new();
    let mut take = |rows: &mut Vec<Row>, key: &'static str, measured: Result<Row>| match measured {
        Ok(row) => rows.push(row),
        Err(e) => {
            eprintln!("  ({key}) failed: {e:#}");
            failed.push(key);
        }
    };
    let card = ours.first().cloned().unwrap_or_default();
    let stack = [
        cases::Side { host: bench.sides.gateway.clone(), pids: bench.ours.clone() },
        cases::Side { host: bench.sides.bare.clone(), pids: bench.bare.clone() },
    ];
    let cases = all(&bench.sides, &admin, ours, theirs, customers.clone())?;
    let bare_read = cases.iter().find(|c| c.key == "a").and_then(|c| c.bare.clone());
    for case in cases {
        if bench.wanted(case.key) {
            println!("· ({}) {}", case.key, case.what);
            take(&mut rows, case.key, bench.requests(&case, &stack).await);
        }
    }
    let doors = [
        cases::Side {
            host: plan.checked.clone(),
            pids: pids(&|n| matches!(n, "checked" | "noop" | "mongod")),
        },
        cases::Side {
            host: plan.unchecked.clone(),
            pids: pids(&|n| matches!(n, "unchecked" | "noop" | "mongod")),
        },
    ];
    for case in cases::checks(&plan.checked, &plan.unchecked, &admin, &card) {
        if bench.wanted("h") {
            println!("· ({}) {}", case.key, case.what);
            take(&mut rows, case.key, bench.requests(&case, &doors).await);
        }
    }
    if bench.wanted("r") {
        println!("· (r) 10,000 sessions, 1,000 revocations a minute");
        take(&mut rows, "r", bench.revocations(&admin, &identity).await);
    }
    if bench.wanted("i") {
        println!("· (i) webhooks while the provider is away for a minute");
        take(&mut rows, "i", bench.backlog(&ledger).await);
    }
    if bench.wanted("j") || bench.wanted("k") {
        println!("· (k) back-fill of {} subscriptions, (j) the same, all changed", billing::MANY);
        match bench.back_fill(&peer).await {
            Ok(both) => rows.extend(both),
            Err(e) => take(&mut rows, "k", Err(e)),
        }
    }
    if bench.wanted("e") {
        println!("· (e) usage file");
        take(&mut rows, "e", bench.upload(&customers, &analytics, &peer).await);
    }
    if bench.wanted("g") {
        println!("· (g) flow");
        bulk::quiet(&analytics).await?;
        let of_a = rows.iter().find(|r| r.key == "a").map(|r| r.ours.clone());
        take(&mut rows, "g", bench.flows(&customers, of_a).await);
    }
    if bench.wanted("s") {
        println!("· (s) start of a flow, at full speed and at half; a thousand visits at once");
        bulk::quiet(&analytics).await?;
        // Whoever is in (g) has a visit open, which a start would resume.
        let others = customers.get(EACH * bench.options.rounds..).unwrap_or_default();
        match bench.starts(others, bare_read.context("(a) has no peer")?).await {
            Ok(both) => rows.extend(both),
            Err(e) => take(&mut rows, "s", Err(e)),
        }
    }
    if bench.wanted("f") {
        println!("· (f) persona refresh");
        take(&mut rows, "f", bench.refresh(&analytics).await);
    }
    let Options { out, rounds, connections, .. } = bench.options;
    let report = Report { rows, idle, load: (before, cpu::load()), connections, rounds };
    print(&report);
    std::fs::write(&out, serde_json::to_string_pretty(&report)?)?;
    println!("written to {}", out.display());
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}

/// The services at rest, before anything was asked of them but the loading.
fn idle(plan: &Plan) -> Vec<Idle> {
    let of = |(service, cold): (&String, &f64)| Idle {
        service: service.clone(),
        cold_start_ms: *cold,
        idle_mb: plan.pids.get(service).map_or(0.0, |pid| cpu::memory_mb(*pid, "VmRSS")),
    };
    plan.cold_start_ms.iter().map(of).collect()
}

/// The company's own ids of its active customers.
async fn customers(sides: &Sides) -> Result<Vec<String>> {
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/subscriptions?state=active&limit=200&cursor={cursor}");
        let page = ask(&sides.gateway, "GET", &path, &sides.machine_key, None).await?;
        let found = page["items"].as_array().into_iter().flatten();
        ids.extend(found.filter_map(|s| s["external_id"].as_str()?.strip_prefix("sub_").map(str::to_owned)));
        match page["next_cursor"].as_str() {
            Some(next) if !next.is_empty() => cursor = next.to_owned(),
            _ => return Ok(ids),
        }
    }
}

impl Bench {
    fn wanted(&self, key: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|k| k == key)
    }

    /// Our services: neither the database nor the bus is ours.
    fn services(&self) -> impl Iterator<Item = u32> {
        self.ours.iter().filter(|(n, _)| !matches!(n.as_str(), "mongod" | "nats-server")).map(|(_, pid)| *pid)
    }

    fn reset_peaks(&self) {
        self.services().for_each(cpu::reset_peak);
    }

    /// The most memory one of our services held since [`Self::reset_peaks`].
    fn peak_mb(&self) -> f64 {
        self.services().map(|pid| cpu::memory_mb(pid, "VmHWM")).fold(0.0, f64::max)
    }

    /// A request-and-answer case.
    async fn requests(&self, case: &Case, at: &[cases::Side; 2]) -> Result<Row> {
        let time = Duration::from_secs(self.options.seconds);
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        self.reset_peaks();
        let mut first = 0;
        // The first round warms both sides up and does not count.
        for round in 0..=self.options.rounds {
            let time = if round == 0 { Duration::from_secs(1) } else { time };
            let [here, there] = at;
            let sides = [(here, Some(&case.ours), &mut ours), (there, case.bare.as_ref(), &mut bare)];
            for (cases::Side { host, pids }, make, into) in sides {
                let Some(make) = make else { continue };
                let used = cpu::total(pids);
                let done =
                    load::run(host, self.options.connections, time, u64::MAX, first, make.clone()).await;
                let done = done.with_context(|| format!("({}) at {host}", case.key))?;
                if round > 0 {
                    into.push(measured(&done, case.units, cpu::total(pids) - used));
                }
            }
            // Ids of events and webhooks are used once.
            first += 10_000_000;
        }
        Ok(row(case.key, case.what, side(&ours, self.peak_mb()), side(&bare, 0.0), aim(case.key)))
    }

    async fn upload(&self, ids: &[String], analytics: &Database, peer: &Database) -> Result<Row> {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        bulk::quiet(analytics).await?;
        self.reset_peaks();
        for round in 0..self.options.rounds {
            let used = cpu::total(&self.ours);
            let seconds = bulk::upload(&self.sides, ids, round).await?;
            ours.push(bulk_measured(seconds, cpu::total(&self.ours) - used));
            // Facts are made of the rows now, which the peer does not do: it must not pay for that.
            bulk::quiet(analytics).await?;
            let used = cpu::total(&self.bare);
            // The peer is this very process.
            let mine = cpu::seconds(std::process::id());
            let seconds = bulk::insert_rows(peer, ids, round).await?;
            let mine = cpu::seconds(std::process::id()) - mine;
            bare.push(bulk_measured(seconds, cpu::total(&self.bare) - used + mine));
        }
        Ok(row("e", "usage file, 200,000 rows × 8", side(&ours, self.peak_mb()), side(&bare, 0.0), aim("e")))
    }

    /// A session lasts ten minutes, a run longer: what is long begins with a new one.
    async fn sign_in(&self) -> Result<String> {
        let (email, mails) = &self.admin;
        mailbox::sign_in(&self.sides.gateway, email, mails).await
    }

    async fn revocations(&self, admin: &str, identity: &Database) -> Result<Row> {
        self.reset_peaks();
        let used = cpu::total(&self.ours);
        let done = revocations::run(&self.sides.gateway, admin, identity, self.options.connections).await?;
        let ours = [measured(&done, 1, cpu::total(&self.ours) - used)];
        let what = "10,000 sessions, 1,000 out";
        Ok(row("r", what, side(&ours, self.peak_mb()), Side::default(), aim("r")))
    }

    /// Webhooks keep coming while nothing can be worked on; ours per second is how fast what waited is caught up.
    async fn backlog(&self, ledger: &Database) -> Result<Row> {
        let admin = self.sign_in().await?;
        self.reset_peaks();
        let used = cpu::total(&self.ours);
        let done = billing::backlog(&self.sides, &admin, ledger, self.options.connections).await?;
        let mut ours = work_measured(done.accepted, done.caught_up, cpu::total(&self.ours) - used);
        ours.answered(&done.latency);
        let waited = format!("{} webhooks, a minute away", done.accepted);
        Ok(row("i", &waited, side(&[ours], self.peak_mb()), Side::default(), aim("i")))
    }

    async fn back_fill(&self, peer: &Database) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        // The second pass finds every subscription changed.
        for (key, what) in [("k", "back-fill, 100,000"), ("j", "mirror updates, 100,000")] {
            let admin = self.sign_in().await?;
            billing::ready(&self.sides, &admin).await?;
            self.reset_peaks();
            let used = cpu::total(&self.ours);
            let seconds = billing::sync(&self.sides, &admin).await?;
            let ours = work_measured(billing::MANY, seconds, cpu::total(&self.ours) - used);
            let used = cpu::total(&self.bare);
            // The peer is this very process.
            let mine = cpu::seconds(std::process::id());
            let seconds = billing::bare(&self.sides.bare, peer, key == "k").await?;
            let mine = cpu::seconds(std::process::id()) - mine;
            let bare = work_measured(billing::MANY, seconds, cpu::total(&self.bare) - used + mine);
            rows.push(row(key, what, side(&[ours], self.peak_mb()), side(&[bare], 0.0), aim(key)));
        }
        billing::none_left(&self.sides).await?;
        Ok(rows)
    }

    async fn flows(&self, ids: &[String], of_a: Option<Side>) -> Result<Row> {
        let mut ours = Vec::new();
        self.reset_peaks();
        for mine in ids.chunks(EACH).take(self.options.rounds) {
            let used = cpu::total(&self.ours);
            let done = visits::flows(&self.sides, mine, self.options.connections).await?;
            ours.push(measured(&done, 1, cpu::total(&self.ours) - used));
        }
        // Beside (a) of ours: how many plain reads one flow's link, start and first answer cost.
        Ok(row(
            "g",
            "flow: link, start, answer",
            side(&ours, self.peak_mb()),
            of_a.unwrap_or_default(),
            aim("g"),
        ))
    }

    /// The start of a visit beside the peer's read of one document by its key.
    async fn starts(&self, ids: &[String], bare_read: Make) -> Result<Vec<Row>> {
        let Options { rounds, connections, seconds, .. } = self.options;
        let most = u64::try_from(EACH)?;
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        let (mut our_speed, mut bare_speed) = (0.0, 0.0);
        self.reset_peaks();
        let mut groups = ids.chunks_exact(EACH);
        for mine in groups.by_ref().take(rounds) {
            let links = visits::links(&self.sides, mine).await?;
            let used = cpu::total(&self.ours);
            let done = visits::at_full_speed(&self.sides, links, connections).await?;
            our_speed = speed(&done);
            ours.push(measured(&done, 1, cpu::total(&self.ours) - used));
            let (used, time) = (cpu::total(&self.bare), Duration::from_secs(seconds));
            let done = load::run(&self.sides.bare, connections, time, u64::MAX, 0, bare_read.clone()).await?;
            bare_speed = speed(&done);
            bare.push(measured(&done, 1, cpu::total(&self.bare) - used));
        }
        let mut rows = vec![row(
            "s",
            "flow: start, first page",
            side(&ours, self.peak_mb()),
            side(&bare, 0.0),
            aim("s"),
        )];
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for mine in groups.by_ref().take(rounds) {
            let make = visits::starts(&self.sides, visits::links(&self.sides, mine).await?);
            let used = cpu::total(&self.ours);
            let done = load::paced(&self.sides.gateway, connections, our_speed / 2.0, most, make).await?;
            ours.push(measured(&done, 1, cpu::total(&self.ours) - used));
            let used = cpu::total(&self.bare);
            let many = most * 10;
            let done =
                load::paced(&self.sides.bare, connections, bare_speed / 2.0, many, bare_read.clone()).await?;
            bare.push(measured(&done, 1, cpu::total(&self.bare) - used));
        }
        let half = side(&ours, self.peak_mb());
        rows.push(row("s_half", "the same at half the speed", half, side(&bare, 0.0), aim("s_half")));
        let left = ids.len() - groups.remainder().len() - groups.len() * EACH;
        let thousand = ids.get(left..left + visits::ABREAST).context("too few customers")?;
        self.reset_peaks();
        let used = cpu::total(&self.ours);
        let done = visits::abreast(&self.sides, thousand).await?;
        let ours = [measured(&done, 1, cpu::total(&self.ours) - used)];
        let peak = self.ours.get("content-svc").map_or(0.0, |pid| cpu::memory_mb(*pid, "VmHWM"));
        rows.push(row("s1000", "1,000 visits at once", side(&ours, peak), Side::default(), aim("s1000")));
        Ok(rows)
    }

    async fn refresh(&self, analytics: &Database) -> Result<Row> {
        let admin = &self.sign_in().await?;
        let have = ask(&self.sides.gateway, "GET", "/v1/personas?limit=50", admin, None).await?;
        bulk::personas(&self.sides, admin, have["items"].as_array().map_or(0, Vec::len)).await?;
        let count = bulk::multiply_customers(analytics).await?;
        println!("  over {count} customers");
        // The first one moves every copy into its personas; the others find little to move, as a daily one does.
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        bulk::quiet(analytics).await?;
        self.reset_peaks();
        for round in 0..=self.options.rounds {
            let used = cpu::total(&self.ours);
            let seconds = bulk::refresh(&self.sides, admin, analytics).await?;
            let cpu = cpu::total(&self.ours) - used;
            if round == 0 {
                println!("  the first, with every copy to be moved: {seconds:.1} s");
            } else {
                ours.push(bulk_measured(seconds, cpu));
            }
            bulk::quiet(analytics).await?;
            let used = cpu::total(&self.bare);
            let seconds = bulk::aggregate(analytics).await?;
            if round > 0 {
                bare.push(bulk_measured(seconds, cpu::total(&self.bare) - used));
            }
        }
        Ok(row("f", "persona refresh, 200,000 × 6", side(&ours, self.peak_mb()), side(&bare, 0.0), aim("f")))
    }
}
