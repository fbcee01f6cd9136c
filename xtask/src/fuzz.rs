//! `cargo xtask fuzz`: schemathesis with all its checks against a stack of its own, as each kind of caller. With
//! `--histories` or `--kills`: random histories of billing, and `kill -9` while customers accept, as many as are asked for.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::dev::{self, SERVICES, Settings};
use crate::process::Slot;
use crate::servers::{self, Servers};
use crate::{down, files, shell, test, up};

#[derive(Args, Clone, Default)]
pub struct Options {
    /// How many random requests for each operation, by every caller and through every phase; when left out, a bounded
    /// run of some minutes.
    #[arg(long)]
    examples: Option<u32>,
    /// What the random requests are made from.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Instead of requests: so many random histories of claims, faults and crashes, from this seed.
    #[arg(long)]
    histories: Option<u64>,
    /// Instead of requests: billing-svc killed so many times while customers accept.
    #[arg(long)]
    kills: Option<u64>,
}

/// Operations that end what the caller calls with: a session, a key, a person, a company. They come last, each caller
/// with a credential of its own for them.
const SAWS: &str = "^(UserSessionService_.*(Delete|Revoke|Switch|SignOut|End).*|CompanyService_(Suspend|Reactivate|Close|Reopen|Delete|Update).*|UserProfileService_(Suspend|Remove|Delete|Update)User|UserProfileService_SetPermissions|ApiKeyService_(Delete|Rotate|Revoke).*|GlobalConfigService_(Put|Set|Update|Rollback|Delete|Clear).*)";

/// Answers as long as it is listened to.
const ENDLESS: &str = "NotificationService_StreamNotifications";

/// Resources whose bodies have as many places to be wrong in as all others together. What is under one resource stays
/// in one half: what one operation made another one finds.
const HEAVY: [&str; 3] = ["/v1/cards", "/v1/workflows", "/v1/personas"];

/// Which operations a run is about.
#[derive(Clone, Copy)]
enum Part {
    /// All but those that saw off the branch.
    All,
    /// Of these, one half of the resources.
    Half(usize),
    /// Of these, what a retention admin may not call.
    Own,
    Saws,
}

/// One run of schemathesis.
struct Run {
    caller: char,
    part: Part,
    phases: &'static str,
}

const fn run(caller: char, part: Part, phases: &'static str) -> Run {
    Run { caller, part, phases }
}

const RANDOM: &str = "examples,fuzzing";
const WHOLE: &str = "examples,coverage,fuzzing";
const EVERYTHING: &str = "examples,coverage,fuzzing,stateful";

/// Two lanes, one for each of the two processors a small machine has. Every operation meets every boundary value once,
/// as the caller who may call most; every caller meets every operation.
fn bounded() -> [Vec<Run>; 2] {
    [
        vec![run('A', Part::Half(0), WHOLE), run('E', Part::All, RANDOM), run('M', Part::Own, WHOLE)],
        vec![
            run('A', Part::Half(1), WHOLE),
            run('K', Part::Own, WHOLE),
            run('K', Part::All, RANDOM),
            run('M', Part::All, RANDOM),
        ],
    ]
}

/// Everything by everybody, two at a time.
fn unbounded() -> [[Vec<Run>; 2]; 2] {
    let whole = |caller| vec![run(caller, Part::All, EVERYTHING)];
    [[whole('A'), whole('M')], [whole('K'), whole('E')]]
}

/// What saws off the branch, one after the other: who may do most of it comes last.
fn last() -> [[Vec<Run>; 2]; 4] {
    [('M', RANDOM), ('E', WHOLE), ('A', WHOLE), ('K', WHOLE)]
        .map(|(caller, phases)| [vec![run(caller, Part::Saws, phases)], Vec::new()])
}

pub fn fuzz(options: &Options) -> Result<()> {
    let (histories, kills) = (options.histories, options.kills);
    if histories.is_some() || kills.is_some() {
        let seed = ("FUZZ_SEED", options.seed.to_string());
        if let Some(many) = histories {
            let settings = [("FUZZ_HISTORIES", many.to_string()), seed];
            test::only(&["-p", "billing-svc", "--test", "it"], "histories::", &settings)?;
        }
        if let Some(many) = kills {
            let settings = [("FUZZ_KILLS", many.to_string())];
            test::only(&["-p", "billing-svc", "--test", "it"], "killed::", &settings)?;
        }
        return Ok(());
    }
    let Some(schemathesis) = schemathesis() else {
        println!("SKIPPED: fuzzing the API (schemathesis cannot be installed)");
        return Ok(());
    };
    let binaries = dev::build(false)?;
    let folder = files::dev("fuzz");
    down::stop(&folder.join("run"))?;
    fs::remove_dir_all(folder.join("data")).ok();
    let outcome = against(&folder, &binaries, &schemathesis, options);
    down::stop(&folder.join("run"))?;
    outcome
}

fn against(folder: &Path, binaries: &Path, schemathesis: &Path, options: &Options) -> Result<()> {
    let servers = Servers::start(&folder.join("run"), &folder.join("data"))?;
    let mut settings = Settings::open(folder, Some(servers::free_port()?))?;
    // Limits have tests of their own, and would hide everything else here.
    // Nothing leaves this machine: where a provider would be, the gateway answers that nothing is there.
    let nowhere = format!("{}/nowhere", settings.address("gateway"));
    settings.more = [
        ("RETENTION_RATE_SCALE", "100000"),
        ("RETENTION_LOG", "warn"),
        ("RETENTION_STRIPE_URL", &nowhere),
        ("RETENTION_RECURLY_URL", &nowhere),
        ("RETENTION_CHARGEBEE_URL", &nowhere),
        ("RETENTION_PRIVATE_NETWORKS", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let stack = Slot::new(&folder.join("run"), "stack");
    let env = settings.environment(&servers, folder);
    stack.start(&mut dev::process(&binaries.join("stack"), &["serve"], &env)?)?;
    SERVICES.iter().try_for_each(|s| stack.wait(Duration::from_secs(60), || up::ready(settings.port(s))))?;
    up::write_endpoints(folder, &settings, &servers)?;
    up::load_into(&binaries.join("stack"), folder, &["--demo".into(), "--most".into(), "40".into()])?;

    let site = Site {
        stack: binaries.join("stack"),
        schemathesis: schemathesis.to_owned(),
        folder: folder.to_owned(),
        endpoints: serde_json::from_str(&fs::read_to_string(folder.join("endpoints.json"))?)?,
        document: serde_json::from_str(&fs::read_to_string(files::root().join("docs/openapi.json"))?)?,
        seed: options.seed,
        examples: options.examples.unwrap_or(5),
    };
    let begun = Instant::now();
    let mut rows = Vec::new();
    let first = if options.examples.is_some() { Vec::from(unbounded()) } else { vec![bounded()] };
    for lanes in first.iter().chain(&last()) {
        rows.extend(site.lanes(lanes)?);
    }
    println!(
        "\ncaller  operations           phases                               cases  refused  failures  seconds"
    );
    for row in &rows {
        println!("{}", row.line);
    }
    println!(
        "seed {}; {:.0} s. `refused` are operations that answered this caller 401 or 403 alone.",
        options.seed,
        begun.elapsed().as_secs_f64()
    );
    // A handler that panicked answered 500; a task that did so answered nobody.
    let log = fs::read_to_string(stack.log()).unwrap_or_default();
    let panics = log.lines().filter(|l| l.contains("panicked")).count();
    if panics > 0 {
        bail!("something panicked {panics} times: {}", stack.log().display());
    }
    let failed: Vec<_> = rows.iter().filter(|r| r.failed).collect();
    for row in &failed {
        println!("\n{}", fs::read_to_string(&row.log)?);
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} runs found something; the same requests come again with --seed {}",
        failed.len(),
        rows.len(),
        options.seed
    )
}

/// The stack under test, and what to test it with.
struct Site {
    stack: PathBuf,
    schemathesis: PathBuf,
    folder: PathBuf,
    endpoints: Value,
    document: Value,
    seed: u64,
    examples: u32,
}

/// What a run found.
struct Row {
    line: String,
    failed: bool,
    log: PathBuf,
}

impl Site {
    fn lanes(&self, lanes: &[Vec<Run>; 2]) -> Result<Vec<Row>> {
        // Everybody signs in before anything runs: requests for codes are among what is sent, and the last code counts.
        let signed_in =
            |lane: &[Run]| lane.iter().map(|run| self.headers(run.caller)).collect::<Result<Vec<_>>>();
        let credentials: [Vec<Vec<String>>; 2] = [signed_in(&lanes[0])?, signed_in(&lanes[1])?];
        let all = |at: usize| {
            let runs = lanes[at].iter().zip(&credentials[at]);
            runs.map(|(run, headers)| self.run(run, headers)).collect::<Result<Vec<_>>>()
        };
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| all(1));
            let mut rows = all(0)?;
            rows.extend(beside.join().map_err(|_| anyhow::anyhow!("a lane panicked"))??);
            Ok(rows)
        })
    }

    fn run(&self, run: &Run, headers: &[String]) -> Result<Row> {
        let begun = Instant::now();
        let part = match run.part {
            Part::All => "all",
            Part::Half(0) => "one",
            Part::Half(_) => "other",
            Part::Own => "own",
            Part::Saws => "saws",
        };
        let name = format!("{}-{part}-{}", run.caller, run.phases.replace(',', "-"));
        let (log, report) =
            (self.folder.join(format!("{name}.log")), self.folder.join(format!("{name}.json")));
        fs::remove_file(&report).ok();
        let mut command = Command::new(&self.schemathesis);
        command.arg("--config-file").arg(files::root().join("tools/schemathesis.toml")).arg("run");
        command.arg(format!("{}/v1/openapi.json", self.text("/gateway")?));
        command.args(["--checks", "all", "--exclude-checks", "negative_data_rejection", "--no-color"]);
        command.args(["--phases", run.phases, "--report", "json", "--report-json-path"]).arg(&report);
        command.args(["--seed", &self.seed.to_string(), "--max-examples", &self.examples.to_string()]);
        command.args(["--exclude-operation-id", ENDLESS]);
        for header in headers {
            command.arg("-H").arg(header);
        }
        match run.part {
            Part::All => {
                command.args(["--exclude-operation-id-regex", SAWS]);
            }
            Part::Saws => {
                command.args(["--include-operation-id-regex", SAWS]);
            }
            Part::Half(_) | Part::Own => {
                command.args(["--exclude-operation-id-regex", SAWS]);
                for id in self.operations(run) {
                    command.args(["--include-operation-id", &id]);
                }
            }
        }
        let output = fs::File::create(&log)?;
        let status = command
            .current_dir(files::root())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .context("schemathesis could not be started")?;
        let said: Value = fs::read_to_string(&report)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .with_context(|| {
                let said = fs::read_to_string(&log).unwrap_or_default();
                format!("schemathesis wrote no report ({status}):\n{said}")
            })?;
        let number = |at: &str| said.pointer(at).and_then(Value::as_u64).unwrap_or_default();
        let refused = said.pointer("/warnings/missing_auth").and_then(Value::as_array).map_or(0, Vec::len);
        let failures = number("/test_cases/unique_failures");
        let line = format!(
            "{:<7} {part:<5} {:>4} of {:<6} {:<36} {:>6} {refused:>8} {failures:>9} {:>8.0}",
            run.caller,
            number("/operations/tested"),
            number("/operations/total"),
            run.phases,
            number("/test_cases/generated"),
            begun.elapsed().as_secs_f64(),
        );
        println!("{line}");
        Ok(Row { line, failed: !status.success(), log })
    }

    fn text(&self, at: &str) -> Result<&str> {
        self.endpoints.pointer(at).and_then(Value::as_str).with_context(|| format!("{at} is not noted"))
    }

    /// A fresh credential, and for the operator company and reason.
    fn headers(&self, caller: char) -> Result<Vec<String>> {
        let person = match caller {
            'K' => "/demo/users/kale_admin",
            'A' => "/demo/users/ret_admin",
            'E' => "/demo/users/ret_exp",
            _ => return Ok(vec![format!("Authorization: Bearer {}", self.text("/demo/api_key_live")?)]),
        };
        let mut command = Command::new(&self.stack);
        command.args(["token", self.text(person)?, "--endpoints"]).arg(self.folder.join("endpoints.json"));
        let token = shell::output(&mut command)?;
        let mut headers = vec![format!("Authorization: Bearer {}", token.trim())];
        if caller == 'K' {
            headers.push(format!("Retention-Company: {}", self.text("/demo/company_id")?));
            headers.push("Retention-Reason: fuzzing".into());
        }
        Ok(headers)
    }

    /// The operations of a part, by id.
    fn operations(&self, run: &Run) -> Vec<String> {
        let paths = self.document.get("paths").and_then(Value::as_object);
        let mut chosen = Vec::new();
        for (path, methods) in paths.into_iter().flatten() {
            let half = usize::from(!HEAVY.iter().any(|resource| path.starts_with(resource)));
            for operation in methods.as_object().into_iter().flat_map(|m| m.values()) {
                let has = |what: &str, who: &str| {
                    let list = operation.get(what).and_then(Value::as_array);
                    list.is_some_and(|l| l.iter().any(|r| who.is_empty() || r == who))
                };
                let mine = match (run.part, run.caller) {
                    (Part::Half(wanted), _) => wanted == half,
                    (_, 'M') => has("x-scopes", "") && !has("x-roles", ""),
                    _ => has("x-roles", "kale_admin") && !has("x-roles", "ret_admin"),
                };
                if let Some(id) = operation.get("operationId").and_then(Value::as_str).filter(|_| mine) {
                    chosen.push(id.to_owned());
                }
            }
        }
        chosen
    }
}

/// The pinned schemathesis, installed where it is not there.
fn schemathesis() -> Option<PathBuf> {
    let venv = files::dev("venv-api");
    let (program, noted) = (venv.join("bin/schemathesis"), venv.join("requirements.txt"));
    let wanted = files::root().join("tools/requirements-api.txt");
    let same = || fs::read(&noted).ok() == fs::read(&wanted).ok();
    if program.is_file() && same() {
        return Some(program);
    }
    let made = shell::output(Command::new("python3").args(["-m", "venv"]).arg(&venv)).and_then(|_| {
        let mut pip = Command::new(venv.join("bin/pip"));
        shell::output(pip.args(["install", "-q", "--disable-pip-version-check", "-r"]).arg(&wanted))
    });
    if let Err(e) = made {
        eprintln!("{e:#}");
        return None;
    }
    fs::copy(&wanted, &noted).ok()?;
    Some(program)
}
