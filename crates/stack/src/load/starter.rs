//! The starter library: flows a company begins from, with the pages, questions and offers they need (`starter/`). What is
//! there already, by its name, is kept as it is, so loading twice changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::api::{Api, text};
use super::mailbox::Mailbox;
use super::people;
use super::progress::done;
use super::steps::{self, Saved, Step};

/// Every flow.
const ALL: &str = "all";

/// Which flows of the library to load, and how.
#[derive(Args, Clone, Debug)]
pub struct StarterOptions {
    /// Load a flow of the starter library into a company that is there: the name of its file, such as `saas-monthly`, or
    /// `all`. Nobody sees it before it is published.
    #[arg(long, value_name = "FLOW", conflicts_with_all = ["demo", "customers", "usage", "steps"])]
    pub(super) starter: Option<String>,
    /// With `--starter`: publish what was never published, and activate its offers.
    #[arg(long, requires = "starter")]
    publish: bool,
    /// With `--starter`: into live or test mode.
    #[arg(long, value_parser = ["live", "test"], default_value = "live")]
    mode: String,
    /// With `--starter`: the company's own values in the place of `starter/values.json`.
    #[arg(long, requires = "starter")]
    values: Option<PathBuf>,
    /// With `--starter`: the API's address, for a system that `up` did not start.
    #[arg(long, requires = "token_file")]
    gateway: Option<String>,
    /// With `--gateway`: a file with an access token of a retention admin.
    #[arg(long, requires = "gateway")]
    token_file: Option<PathBuf>,
    /// Where the library is.
    #[arg(long, default_value = "starter", hide = true)]
    starter_folder: PathBuf,
}

/// A flow of the library.
struct Flow {
    /// The name of its file.
    key: String,
    text: String,
}

/// Loads what is asked for; `endpoints` says where the running system is, `slug` which company.
pub async fn run(options: &StarterOptions, wanted: &str, endpoints: &Path, slug: &str) -> Result<()> {
    let admin = match (&options.gateway, &options.token_file) {
        (Some(gateway), Some(file)) => {
            let token =
                fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
            Api::new(gateway)?.with_token(token.trim())
        }
        _ => sign_in(&super::read_endpoints(endpoints)?, slug).await?,
    };
    let admin = admin.with_header("retention-mode", options.mode.clone());
    let folder = &options.starter_folder;
    let flows = flows(folder)?;
    let chosen: Vec<&Flow> = flows.iter().filter(|f| wanted == ALL || f.key == wanted).collect();
    if chosen.is_empty() {
        let names: Vec<_> = flows.iter().map(|f| f.key.as_str()).collect();
        bail!("the library has no flow {wanted}; it has {}, and `all`", names.join(", "));
    }
    let mut saved = Saved::default();
    let values = options.values.clone().unwrap_or_else(|| folder.join("values.json"));
    for (name, value) in read_values(&values)? {
        saved.keep(&name, value);
    }
    let mut steps = Vec::new();
    for part in ["offers", "content"] {
        steps.extend(steps::read(&folder.join(part))?);
    }
    if wanted != ALL {
        steps = needed(steps, &chosen);
    }
    let mut made = 0;
    for step in steps.iter().filter(|s| options.publish || !s.publishes()) {
        made += usize::from(steps::make(&admin, step, &mut saved).await?);
    }
    done(&format!("{wanted}: {made} calls for offers, questions, cards and pages"));
    let there = admin.all("/v1/workflows").await?;
    for flow in chosen {
        let what = load(&admin, flow, &saved, &there, options.publish).await?;
        done(&format!("{}: {what}", flow.key));
    }
    Ok(())
}

/// The API as the retention admin of a company the loader noted.
async fn sign_in(endpoints: &Value, slug: &str) -> Result<Api> {
    let of_slug = |c: &&Value| c.get("slug").and_then(Value::as_str) == Some(slug);
    let company = endpoints.pointer(&format!("/companies/{slug}"));
    let company = company.or_else(|| endpoints.get("demo").filter(of_slug));
    let company = company.with_context(|| format!("no company {slug} is loaded; name one with `--slug`"))?;
    let api = Api::new(&text(endpoints, "/gateway")?)?;
    let mailbox = Mailbox::new(Path::new(&text(endpoints, "/mail_dir")?));
    people::sign_in(&api, &mailbox, &text(company, "/users/ret_admin")?).await
}

fn flows(folder: &Path) -> Result<Vec<Flow>> {
    let files = steps::files(&folder.join("workflows"), "yaml")?;
    let read = files.into_iter().map(|path| -> Result<Flow> {
        let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Flow { key, text })
    });
    read.collect()
}

fn read_values(path: &Path) -> Result<Vec<(String, Value)>> {
    let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    let values: serde_json::Map<String, Value> =
        serde_json::from_str(&text).with_context(|| format!("{} holds no values", path.display()))?;
    Ok(values.into_iter().collect())
}

impl Flow {
    /// What it is called in the dashboard.
    fn name(&self) -> Result<&str> {
        let named = self.text.lines().find_map(|line| line.strip_prefix("workflow: "));
        named.with_context(|| format!("{} has no line `workflow: …`", self.key))
    }

    /// The keys of its pages.
    fn pages(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim).filter_map(|line| {
            line.strip_prefix("template: ").or_else(|| line.strip_prefix("hosted_template: "))
        })
    }
}

/// Those steps that make what these flows name, and what that names.
fn needed(steps: Vec<Step>, flows: &[&Flow]) -> Vec<Step> {
    let pages: BTreeSet<&str> = flows.iter().flat_map(|f| f.pages()).collect();
    let named = flows.iter().flat_map(|f| steps::names_in(&f.text));
    let mut names: BTreeSet<String> = named.collect();
    let is_page = |s: &Step| s.body.get("key").and_then(Value::as_str).is_some_and(|key| pages.contains(key));
    names.extend(steps.iter().filter(|s| is_page(s)).filter_map(|s| s.save_as.clone()));
    // What a step names was made before it: once through from the end finds everything.
    let mut kept: Vec<Step> = Vec::new();
    for step in steps.into_iter().rev() {
        if step.save_as.as_ref().is_none_or(|name| names.contains(name)) {
            names.extend(step.names());
            kept.push(step);
        }
    }
    kept.reverse();
    kept
}

/// Makes a workflow out of its file, and publishes it where that is asked for and was never done.
async fn load(admin: &Api, flow: &Flow, saved: &Saved, there: &[Value], publish: bool) -> Result<String> {
    let failed = || format!("the flow {} was not loaded", flow.key);
    let (workflow, found) = match steps::of_name(there.iter(), flow.name()?) {
        Some(workflow) => (workflow.clone(), true),
        None => {
            let text = saved.filled(&flow.text).with_context(failed)?;
            let imported = admin.post("/v1/workflows/import", json!({ "text": text })).await;
            let imported = imported.with_context(failed)?;
            (imported.get("workflow").cloned().with_context(failed)?, false)
        }
    };
    let kept = if found { "is there already" } else { "is there as a draft" };
    if !publish || steps::was_published(&workflow) {
        return Ok(kept.into());
    }
    let note = json!({ "version": workflow.get("version"), "note": "From the starter library" });
    let path = format!("/v1/workflows/{}/publish", text(&workflow, "/id")?);
    let published = admin.post(&path, note).await.with_context(failed)?;
    let warnings = published.get("warnings").and_then(Value::as_array).map_or(0, Vec::len);
    Ok(match warnings {
        0 => "is published".into(),
        some => format!("is published, with {some} warnings"),
    })
}

#[cfg(test)]
#[path = "starter_tests.rs"]
mod tests;
