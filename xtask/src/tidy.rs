//! House rules that no compiler knows: who may know whom, dependencies that nothing uses, files that grew too long.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::files;

/// A file longer than this holds a second concern.
const MOST_LINES: usize = 500;

pub fn tidy() -> Result<()> {
    let mut wrong = Vec::new();
    let sources = sources(&files::root().join("crates"));
    for path in &sources {
        let text = fs::read_to_string(path)?;
        let name = path.strip_prefix(files::root()).unwrap_or(path);
        layering(name, &text, &mut wrong);
        let lines = text.lines().count();
        if lines > MOST_LINES {
            wrong.push(format!(
                "{}: {lines} lines; over {MOST_LINES} it holds a second concern",
                name.display()
            ));
        }
    }
    unused_dependencies(&mut wrong)?;
    proofs(&sources, &mut wrong)?;
    if !wrong.is_empty() {
        bail!("{} things are not tidy:\n{}", wrong.len(), wrong.join("\n"));
    }
    println!("tidy: {} files", sources.len());
    Ok(())
}

/// The four lines of the layering (docs/ARCHITECTURE.md).
fn layering(path: &Path, text: &str, wrong: &mut Vec<String>) {
    let file = path.file_name().map(|f| f.to_string_lossy()).unwrap_or_default();
    let whole = path.to_string_lossy();
    let services = ["identity-svc", "billing-svc", "content-svc", "analytics-svc", "notify-svc"];
    if !services.iter().any(|s| whole.contains(&format!("{s}/src/"))) {
        return;
    }
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let mut refuse = |what: &str, why: &str| {
        for (at, line) in code.lines().enumerate() {
            // The clock of test mode is a record with rules of its own, and nothing that can be asked for the time.
            let line = line.replace("TestClock", "");
            if line.contains(what) && !line.trim_start().starts_with("//") {
                wrong.push(format!("{whole}:{}: `{what}` here: {why}", at + 1));
            }
        }
    };
    let pure = file == "model.rs"
        || whole.contains("/engine/")
        || whole.contains("/rules/")
        || whole.contains("/stats/");
    if pure {
        for what in ["mongodb::", "proto::", "store::Repo", "async fn", "Clock"] {
            refuse(what, "rules are plain functions over values");
        }
    }
    if file == "ops.rs" {
        refuse("mongodb::", "queries live in store.rs");
        refuse("proto::", "messages end at rpc.rs and events.rs");
    }
    if file == "store.rs" {
        refuse("proto::", "stored documents are our own types");
    }
    let talks = whole.contains("/providers/") || whole.contains("/workos/") || whole.contains("/ticketing/");
    if !talks {
        refuse("reqwest::", "only adapters and `connect` speak HTTP");
    }
    for other in services {
        if !whole.contains(&format!("{other}/")) {
            refuse(
                &format!("{}::", other.replace('-', "_")),
                "services know each other by proto client only",
            );
        }
    }
}

/// A dependency that no source file of its crate names.
fn unused_dependencies(wrong: &mut Vec<String>) -> Result<()> {
    let root = files::root();
    let mut crates: Vec<PathBuf> = fs::read_dir(root.join("crates"))?.flatten().map(|e| e.path()).collect();
    crates.push(root.join("xtask"));
    for folder in crates {
        let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
        let code: String = sources(&folder).iter().filter_map(|p| fs::read_to_string(p).ok()).collect();
        let lines = manifest.lines().skip_while(|l| !l.contains("dependencies]"));
        let names = lines
            .filter_map(|l| l.split_once(".workspace").or_else(|| l.split_once(" = {")))
            .map(|(name, _)| name);
        for name in names.filter(|n| !GENERATED_CODE_USES.contains(n)) {
            let word = name.replace('-', "_");
            if ![format!("{word}::"), format!("use {word}"), format!("{word} as")]
                .iter()
                .any(|f| code.contains(f.as_str()))
            {
                wrong.push(format!("{}: nothing uses `{name}`", folder.join("Cargo.toml").display()));
            }
        }
    }
    Ok(())
}

/// Every test that `docs/security.md` names as a proof is there, and every line of its tables names one.
fn proofs(sources: &[PathBuf], wrong: &mut Vec<String>) -> Result<()> {
    let code: String = sources.iter().filter_map(|p| fs::read_to_string(p).ok()).collect();
    let text = fs::read_to_string(files::root().join("docs/security.md"))?;
    for (at, line) in
        text.lines().enumerate().filter(|(_, l)| l.starts_with("| ") && !l.starts_with("| Source"))
    {
        let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let mut named = last.split('`').skip(1).step_by(2).peekable();
        if named.peek().is_none() {
            wrong.push(format!("docs/security.md:{}: names no test", at + 1));
        }
        for name in named.filter(|name| !code.contains(&format!("fn {name}("))) {
            wrong.push(format!("docs/security.md:{}: there is no test `{name}`", at + 1));
        }
    }
    Ok(())
}

/// Named by generated code only.
const GENERATED_CODE_USES: [&str; 4] = ["tonic-prost", "prost-types", "prost", "bytes"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(sources(&path));
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
