//! Content as files: each holds one call of the public API, or a list of them, made in the order of the file names.
//! `save_as` keeps the answer under a name with a dot in it; `{{of.name}}` stands for its id and `{{of.name.field}}` for a
//! field of it. A name without a dot is not ours: texts of content name their variables so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    method: String,
    path: String,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    save_as: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    One(Step),
    Many(Vec<Step>),
}

/// Answers kept by name.
pub type Saved = BTreeMap<String, Value>;

/// Makes the calls of every `.json` file of a folder; how many.
pub async fn run(api: &Api, folder: &Path, saved: &mut Saved) -> Result<usize> {
    let entries = fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "json")).collect();
    files.sort();
    let mut made = 0;
    for path in files {
        let text = fs::read_to_string(&path)?;
        let file: File = serde_json::from_str(&text).with_context(|| format!("{} is no step file", path.display()))?;
        for step in match file {
            File::One(step) => vec![step],
            File::Many(steps) => steps,
        } {
            let to = fill(&Value::String(step.path.clone()), saved)?;
            let body = fill(&step.body, saved)?;
            let body = (!body.is_null()).then_some(body);
            let answer = api
                .call(&step.method, to.as_str().unwrap_or_default(), body)
                .await
                .with_context(|| format!("a step of {} failed", path.display()))?;
            if let Some(name) = step.save_as {
                saved.insert(name, answer);
            }
            made += 1;
        }
    }
    Ok(made)
}

/// Puts kept values in the place of their names. A text that is nothing but a name becomes the value itself.
fn fill(value: &Value, saved: &Saved) -> Result<Value> {
    Ok(match value {
        Value::Array(items) => Value::Array(items.iter().map(|v| fill(v, saved)).collect::<Result<_>>()?),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(k, v)| Ok((k.clone(), fill(v, saved)?))).collect::<Result<_>>()?)
        }
        Value::String(text) => {
            if let Some(name) = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"))
                && !name.contains("{{")
                && name.contains('.')
            {
                return look_up(name, saved);
            }
            let (mut filled, mut rest) = (String::new(), text.as_str());
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
            Value::String(filled + rest)
        }
        other => other.clone(),
    })
}

fn look_up(name: &str, saved: &Saved) -> Result<Value> {
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
        let saved = Saved::from([("offers.gift".into(), json!({ "id": "off_1", "version": 3 }))]);
        let filled = fill(&json!({ "id": "{{offers.gift}}", "path": "/v1/{{offers.gift}}/x", "version": "{{offers.gift.version}}" }), &saved);
        assert_eq!(filled.unwrap(), json!({ "id": "off_1", "path": "/v1/off_1/x", "version": 3 }));
        assert!(fill(&json!("{{offers.nobody}}"), &saved).is_err());
        let text = json!("{{tenure_months}} months");
        assert_eq!(fill(&text, &saved).unwrap(), text, "a variable of the content stays");
    }
}
