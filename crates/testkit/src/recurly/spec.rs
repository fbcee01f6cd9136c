//! Recurly's own description of its API, and what does not keep to it: requests of ours, and answers of the fake.

use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

static SPEC: LazyLock<Spec> = LazyLock::new(|| {
    let document = serde_json::from_slice(include_bytes!("openapi.json")).expect("the description is JSON");
    Spec { document, built: Mutex::default() }
});

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
        let parameters: Vec<_> = parameters.into_iter().map(|p| self.resolved(p)).collect();
        let mut wrong = Vec::new();
        // What a `next` holds is Recurly's own affair.
        for (name, value) in query.iter().filter(|(name, _)| name != "cursor") {
            let Some(p) = parameters.iter().find(|p| p["in"] == "query" && p["name"] == name.as_str()) else {
                wrong.push(format!("the query has {name}, which is unknown"));
                continue;
            };
            let schema = self.resolved(&p["schema"]);
            let value = match schema["type"].as_str() {
                Some("integer") => value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)),
                Some("boolean") => json!(value == "true"),
                Some("array") => json!(value.split(',').collect::<Vec<_>>()),
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
            (None, Some(_)) => wrong.push("there is a body".into()),
            _ => {}
        }
        wrong
    }

    /// What is wrong with an answer.
    pub fn answer(&self, op: Operation, status: u16, body: &Value) -> Vec<String> {
        let answers = &op.0["responses"];
        let described = answers.get(status.to_string()).or(answers.get("default").filter(|_| status >= 400));
        let Some(described) = described else {
            // The description leaves out some errors, never a success.
            return if status >= 400 { Vec::new() } else { vec![format!("{status} is not described")] };
        };
        let Some(schema) = described.pointer("/content/application~1json/schema") else { return Vec::new() };
        let said = if status >= 400 { &body["error"] } else { body };
        let said = without_nulls(said);
        let mut wrong = self.wrong(schema, &said);
        wrong.extend(self.strangers(schema, &said));
        wrong
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.document.pointer(name.trim_start_matches('#')).unwrap_or(schema),
            None => schema,
        }
    }

    /// Fields nothing describes: the description forbids none, but one we made up would do nothing.
    fn strangers(&self, schema: &Value, body: &Value) -> Vec<String> {
        let mut known = BTreeSet::new();
        self.fields(schema, &mut known);
        // What is not written out cannot be checked.
        if known.is_empty() {
            return Vec::new();
        }
        let given = body.as_object().into_iter().flat_map(Map::keys);
        given.filter(|k| !known.contains(k.as_str())).map(|k| format!("{k} is unknown")).collect()
    }

    fn fields<'a>(&'a self, schema: &'a Value, known: &mut BTreeSet<&'a str>) {
        let schema = self.resolved(schema);
        known.extend(schema["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str));
        for part in ["oneOf", "anyOf", "allOf"].iter().filter_map(|k| schema[*k].as_array()).flatten() {
            self.fields(part, known);
        }
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

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, v)| !v.is_null());
            Value::Object(there.map(|(k, v)| (k.clone(), without_nulls(v))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
