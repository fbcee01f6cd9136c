//! Content as files: each holds one call of the public API, or a list of them, made in the order of the file names.
//! `save_as` keeps the answer under a name with a dot in it; `{{of.name}}` stands for its id and `{{of.name.field}}` for a
//! field of it. A name without a dot is not ours: texts of content name their variables so.
//!
//! What is there already, by its name, is kept as it is: a load that broke off is made again from the start, and what the
//! company changed meanwhile stays changed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;

/// One call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) body: Value,
    #[serde(default)]
    pub(super) save_as: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    One(Step),
    Many(Vec<Step>),
}

/// Answers kept by name, and what was there before.
#[derive(Default)]
pub struct Saved {
    answers: BTreeMap<String, Value>,
    /// Items of a collection by its path, as they were before the first step there.
    before: BTreeMap<String, Vec<Value>>,
}

impl Saved {
    /// Keeps a value under a name, as if a call had answered it.
    pub(super) fn keep(&mut self, name: &str, value: Value) {
        self.answers.insert(name.to_owned(), value);
    }

    /// A text with kept values in the place of their names.
    pub(super) fn filled(&self, text: &str) -> Result<String> {
        in_text(text, &self.answers)
    }
}

impl Step {
    /// Whether it shows something to customers, as against making it.
    pub(super) fn publishes(&self) -> bool {
        matches!(self.path.rsplit('/').next(), Some("publish" | "activate"))
    }

    /// The names of kept answers in it.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = names_in(&self.path);
        collect(&self.body, &mut names);
        names
    }
}

/// Makes the calls of every `.json` file of a folder; how many.
pub async fn run(api: &Api, folder: &Path, saved: &mut Saved) -> Result<usize> {
    let mut made = 0;
    for step in read(folder)? {
        made += usize::from(make(api, &step, saved).await?);
    }
    Ok(made)
}

/// The calls of every `.json` file of a folder, in order.
pub fn read(folder: &Path) -> Result<Vec<Step>> {
    let mut all = Vec::new();
    for path in files(folder, "json")? {
        let text = fs::read_to_string(&path)?;
        let file: File =
            serde_json::from_str(&text).with_context(|| format!("{} is no step file", path.display()))?;
        match file {
            File::One(step) => all.push(step),
            File::Many(steps) => all.extend(steps),
        }
    }
    Ok(all)
}

/// The files of a folder whose names end so, in order.
pub fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let files = entries.flatten().map(|e| e.path());
    let mut files: Vec<_> = files.filter(|p| p.extension().is_some_and(|x| x == extension)).collect();
    files.sort();
    Ok(files)
}

/// Makes one call; whether it had to be made.
pub async fn make(api: &Api, step: &Step, saved: &mut Saved) -> Result<bool> {
    let what = || match &step.save_as {
        Some(name) => format!("{} {} ({name}) failed", step.method, step.path),
        None => format!("{} {} failed", step.method, step.path),
    };
    call(api, step, saved).await.with_context(what)
}

async fn call(api: &Api, step: &Step, saved: &mut Saved) -> Result<bool> {
    let to = fill(&Value::String(step.path.clone()), &saved.answers)?;
    let to = to.as_str().unwrap_or_default();
    if let Some(answer) = there_already(api, step, to, saved).await? {
        if let Some(name) = &step.save_as {
            saved.answers.insert(name.clone(), answer);
        }
        return Ok(false);
    }
    let body = fill(&step.body, &saved.answers)?;
    let answer = api.call(&step.method, to, (!body.is_null()).then_some(body)).await?;
    if let Some(name) = &step.save_as {
        saved.answers.insert(name.clone(), answer);
    }
    Ok(true)
}

/// What a step would make or bring about, where that is so already: a thing of this name, or its standing.
async fn there_already(api: &Api, step: &Step, to: &str, saved: &mut Saved) -> Result<Option<Value>> {
    let Some(kept_as) = step.save_as.as_deref().filter(|_| step.method == "POST") else { return Ok(None) };
    let verb = to.rsplit('/').next().unwrap_or_default();
    if let Some(kept) = saved.answers.get(kept_as) {
        let there = match verb {
            // What was published before may have a draft by now: that is the company's to publish.
            "publish" => was_published(kept),
            "activate" => standing(kept) != Some("draft"),
            _ => false,
        };
        return Ok(there.then(|| kept.clone()));
    }
    let Some(name) = step.body.get("name").and_then(Value::as_str) else { return Ok(None) };
    if !saved.before.contains_key(to) {
        saved.before.insert(to.to_owned(), api.all(to).await?);
    }
    Ok(of_name(saved.before.get(to).into_iter().flatten(), name).cloned())
}

/// The one of a name that is in use or may come to be.
pub(super) fn of_name<'a>(mut all: impl Iterator<Item = &'a Value>, name: &str) -> Option<&'a Value> {
    all.find(|item| {
        item.get("name").and_then(Value::as_str) == Some(name) && standing(item) != Some("archived")
    })
}

fn standing(item: &Value) -> Option<&str> {
    item.get("state").or_else(|| item.get("status")).and_then(Value::as_str)
}

/// Whether a piece of content has a version customers see.
pub(super) fn was_published(item: &Value) -> bool {
    item.pointer("/published/number").and_then(Value::as_u64).is_some_and(|number| number > 0)
}

type Answers = BTreeMap<String, Value>;

fn collect(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::String(text) => names.extend(names_in(text)),
        Value::Array(items) => items.iter().for_each(|v| collect(v, names)),
        Value::Object(fields) => fields.values().for_each(|v| collect(v, names)),
        _ => {}
    }
}

/// The names of kept answers in a text: those with a dot.
pub(super) fn names_in(text: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).filter_map(|t| t.split_once("}}"));
    inside.map(|(name, _)| name.trim().to_owned()).filter(|name| name.contains('.')).collect()
}

/// Puts kept values in the place of their names. A text that is nothing but a name becomes the value itself.
fn fill(value: &Value, saved: &Answers) -> Result<Value> {
    Ok(match value {
        Value::Array(items) => Value::Array(items.iter().map(|v| fill(v, saved)).collect::<Result<_>>()?),
        Value::Object(fields) => {
            let filled = fields.iter().map(|(k, v)| Ok((k.clone(), fill(v, saved)?)));
            Value::Object(filled.collect::<Result<_>>()?)
        }
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"))
                && !name.contains("{{")
                && name.contains('.')
            {
                return look_up(name, saved);
            }
            Value::String(in_text(text, saved)?)
        }
        other => other.clone(),
    })
}

fn in_text(text: &str, saved: &Answers) -> Result<String> {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, behind) = after.split_once("}}").context("a `{{` without `}}`")?;
        filled.push_str(before);
        if name.contains('.') {
            let found = look_up(name, saved)?;
            filled.push_str(&found.as_str().map_or_else(|| found.to_string(), str::to_owned));
        } else {
            filled.push_str(&format!("{{{{{name}}}}}"));
        }
        rest = behind;
    }
    Ok(filled + rest)
}

fn look_up(name: &str, saved: &Answers) -> Result<Value> {
    let name = name.trim();
    if let Some(answer) = saved.get(name) {
        return answer.get("id").cloned().with_context(|| format!("the answer kept as {name} has no id"));
    }
    let (of, field) = name.rsplit_once('.').with_context(|| format!("nothing was kept as {name}"))?;
    let answer = saved.get(of).with_context(|| format!("nothing was kept as {of}"))?;
    answer.get(field).cloned().with_context(|| format!("the answer kept as {of} has no {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_become_what_was_kept() {
        let saved = Answers::from([("offers.gift".into(), json!({ "id": "off_1", "version": 3 }))]);
        let step = json!({ "id": "{{offers.gift}}", "path": "/v1/{{offers.gift}}/x",
            "version": "{{offers.gift.version}}" });
        let filled = fill(&step, &saved);
        assert_eq!(filled.unwrap(), json!({ "id": "off_1", "path": "/v1/off_1/x", "version": 3 }));
        assert!(fill(&json!("{{offers.nobody}}"), &saved).is_err());
        let text = json!("{{tenure_months}} months");
        assert_eq!(fill(&text, &saved).unwrap(), text, "a variable of the content stays");
    }
}
