//! A provider's own description of its API (OpenAPI), and what does not keep to it: requests of ours, and answers of a
//! fake. What a description leaves unsaid about answers differs, so each fake says itself what it makes of one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// A description that requests and answers are held against.
pub struct Described {
    document: Value,
    /// Parameters whose values are the provider's own affair, such as where a page goes on.
    theirs: &'static [&'static str],
    /// By the schema's own text: the same one is used again and again.
    built: Mutex<HashMap<String, &'static Validator>>,
}

/// An operation of the description.
#[derive(Clone, Copy)]
pub struct Operation(&'static Value);

impl Described {
    pub fn new(openapi: &[u8], theirs: &'static [&'static str]) -> Self {
        let mut document = serde_json::from_slice(openapi).expect("the description is JSON");
        once(&mut document);
        Self { document, theirs, built: Mutex::default() }
    }

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
        let parameters = op.0["parameters"].as_array().into_iter().flatten().map(|p| self.resolved(p));
        let parameters: Vec<_> = parameters.filter(|p| p["in"] == "query").collect();
        let mut wrong = Vec::new();
        for p in parameters.iter().filter(|p| p["required"] == true) {
            // What is described in both places is wanted in one, and secrets do not belong into addresses.
            let said = body.is_some_and(|b| p["name"].as_str().is_some_and(|name| !b[name].is_null()));
            if !said && !query.iter().any(|(name, _)| p["name"] == name.as_str()) {
                wrong.push(format!("the query has no {}", p["name"]));
            }
        }
        for (name, value) in query.iter().filter(|(name, _)| !self.theirs.contains(&name.as_str())) {
            let Some(p) = parameters.iter().find(|p| p["name"] == name.as_str()) else {
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
            (Some(_), None) if op.0["requestBody"]["required"] == true => {
                wrong.push("there is no body".into());
            }
            (None, Some(_)) => wrong.push("there is a body".into()),
            _ => {}
        }
        wrong
    }

    /// How an answer of this status is described, if it is.
    pub fn answer(&self, op: Operation, status: &str) -> Option<&'static Value> {
        op.0["responses"].get(status)
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(name) => self.document.pointer(name.trim_start_matches('#')).unwrap_or(schema),
            None => schema,
        }
    }

    /// Fields nothing describes: the description forbids none, but one we made up would do nothing.
    pub fn strangers(&self, schema: &Value, body: &Value) -> Vec<String> {
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

    /// What about a value is not as the schema says.
    pub fn wrong(&self, schema: &Value, value: &Value) -> Vec<String> {
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

/// Some name required fields twice, which the validator counts as two.
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
