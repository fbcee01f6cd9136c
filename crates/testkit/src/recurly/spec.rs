//! Recurly's own description of its API, and what an answer has to be.

use std::sync::LazyLock;

use serde_json::Value;

use crate::described::{Described, Operation};

static SPEC: LazyLock<Described> =
    LazyLock::new(|| Described::new(include_bytes!("openapi.json"), &["cursor"]));

pub fn spec() -> &'static Described {
    &SPEC
}

/// What is wrong with an answer.
pub fn answer(op: Operation, status: u16, body: &Value) -> Vec<String> {
    let fails = status >= 400;
    let described = SPEC.answer(op, &status.to_string());
    let Some(described) = described.or_else(|| SPEC.answer(op, "default").filter(|_| fails)) else {
        // The description leaves out some errors, never a success.
        return if fails { Vec::new() } else { vec![format!("{status} is not described")] };
    };
    let Some(schema) = described.pointer("/content/application~1json/schema") else { return Vec::new() };
    let said = without_nulls(if fails { &body["error"] } else { body });
    let mut wrong = SPEC.wrong(schema, &said);
    wrong.extend(SPEC.strangers(schema, &said));
    wrong
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
