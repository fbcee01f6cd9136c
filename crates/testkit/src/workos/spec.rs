//! WorkOS' own description of its API, and what does not keep to it: requests of ours, and answers of the fake.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

static SPEC: LazyLock<Spec> = LazyLock::new(|| {
    let mut document =
        serde_json::from_slice(include_bytes!("openapi.json")).expect("the description is JSON");
    once(&mut document);
    Spec { document, built: Mutex::default() }
});

/// The description names some required fields twice, which the validator counts as two.
fn once(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(names)) = fields.get_mut("required") {
                let mut seen = BTreeSet::new();
                names.retain(|n| seen.insert(n.to_string()));
            }
            fields.values_mut().for_each(once);
        }
        Value::Array(items) => items.iter_mut().for_each(once),
        _ => {}
    }
}

pub struct Spec {
    document: Value,
    /// By the schema's own text: the same one is used again and again.
    built: Mutex<HashMap<String, &'static Validator>>,
}

/// An operation of the description.
#[derive(Clone, Copy)]
pub struct Operation(&'static Value);

pub fn spec() -> &'static Spec {
    &SPEC
}

impl Spec {
    /// The operation of a request. Fixed segments win over variables.
    pub fn operation(&'static self, method: &str, path: &str) -> Option<Operation> {
        let given: Vec<_> = path.split('/').collect();
        let fits = |template: &&String| {
            let wanted: Vec<_> = template.split('/').collect();
            wanted.len() == given.len()
                && wanted.iter().zip(&given).all(|(w, g)| w.starts_with('{') || w == g)
        };
        let paths = self.document["paths"].as_object()?;
        let template = paths.keys().filter(fits).min_by_key(|t| t.matches('{').count())?;
        paths[template].get(method.to_ascii_lowercase()).map(Operation)
    }

    /// What is wrong with a request.
    pub fn request(&self, op: Operation, query: &[(String, String)], body: Option<&Value>) -> Vec<String> {
        let empty = Vec::new();
        let parameters: Vec<_> = op.0["parameters"].as_array().unwrap_or(&empty).iter().collect();
        let parameters: Vec<_> = parameters.into_iter().filter(|p| p["in"] == "query").collect();
        let mut wrong = Vec::new();
        for p in parameters.iter().filter(|p| p["required"] == true) {
            // What is described in both places is wanted in one, and secrets do not belong into addresses.
            let said = body.is_some_and(|b| p["name"].as_str().is_some_and(|name| !b[name].is_null()));
            if !said && !query.iter().any(|(name, _)| p["name"] == name.as_str()) {
                wrong.push(format!("the query has no {}", p["name"]));
            }
        }
        for (name, value) in query {
            let Some(p) = parameters.iter().find(|p| p["name"] == name.as_str()) else {
                wrong.push(format!("the query has {name}, which is unknown"));
                continue;
            };
            let schema = self.resolved(&p["schema"]);
            let schema = if schema["type"] == "array" { self.resolved(&schema["items"]) } else { schema };
            let value = match schema["type"].as_str() {
                Some("integer") => value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)),
                _ => json!(value),
            };
            wrong.extend(self.wrong(schema, &value).into_iter().map(|w| format!("query {name}: {w}")));
        }
        let schema = op.0.pointer("/requestBody/content/application~1json/schema");
        match (schema, body) {
            (Some(schema), Some(body)) => {
                wrong.extend(self.wrong(schema, body));
                wrong.extend(self.strangers(schema, body));
            }
            (Some(_), None) if op.0["requestBody"]["required"] == true => {
                wrong.push("there is no body".into())
            }
            (None, Some(_)) => wrong.push("there is a body".into()),
            _ => {}
        }
        wrong
    }

    /// What is wrong with an answer.
    pub fn answer(&self, op: Operation, status: u16, body: &Value) -> Vec<String> {
        // Every operation may say these, described or not.
        if matches!(status, 401 | 429 | 500..) {
            return Vec::new();
        }
        let Some(described) = op.0["responses"].get(status.to_string()) else {
            return vec![format!("it answers {status}, which is not described")];
        };
        let schema = described.pointer("/content/application~1json/schema");
        schema.map(|s| self.wrong(s, body)).unwrap_or_default()
    }

    /// What is wrong with an event.
    pub fn event(&self, event: &Value) -> Vec<String> {
        self.wrong(&json!({ "$ref": "#/components/schemas/EventSchema" }), event)
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.document.pointer(name.trim_start_matches('#')).unwrap_or(schema),
            None => schema,
        }
    }

    /// Fields nothing describes: the description forbids none, but one we made up would do nothing.
    fn strangers(&self, schema: &Value, body: &Value) -> Vec<String> {
        let schema = self.resolved(schema);
        let mut known = BTreeSet::new();
        let variants = ["oneOf", "anyOf", "allOf"].iter().filter_map(|k| schema[*k].as_array()).flatten();
        for variant in std::iter::once(schema).chain(variants) {
            known.extend(self.resolved(variant)["properties"].as_object().into_iter().flat_map(Map::keys));
        }
        let given = body.as_object().into_iter().flat_map(Map::keys);
        given.filter(|k| !known.contains(k)).map(|k| format!("{k} is unknown")).collect()
    }

    fn wrong(&self, schema: &Value, value: &Value) -> Vec<String> {
        let validator = {
            let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
            *built.entry(schema.to_string()).or_insert_with(|| Box::leak(Box::new(self.build(schema))))
        };
        validator.iter_errors(value).map(|e| format!("{}: {e}", e.instance_path())).take(5).collect()
    }

    /// A schema with what it refers to, and no more: the whole is large.
    fn build(&self, schema: &Value) -> Validator {
        let (mut names, mut waiting) = (BTreeSet::new(), vec![schema]);
        while let Some(next) = waiting.pop() {
            match next {
                Value::Object(fields) => {
                    if let Some(name) = fields.get("$ref").and_then(Value::as_str)
                        && names.insert(name.trim_start_matches("#/components/schemas/").to_owned())
                    {
                        waiting.push(self.resolved(next));
                    }
                    waiting.extend(fields.values());
                }
                Value::Array(items) => waiting.extend(items),
                _ => {}
            }
        }
        let all = &self.document["components"]["schemas"];
        let needed: Map<_, _> = names.into_iter().map(|n| (n.clone(), all[&n].clone())).collect();
        let whole = json!({ "allOf": [schema], "components": { "schemas": needed } });
        jsonschema::validator_for(&whole).expect("the description's schemas can be built")
    }
}
