//! WorkOS' own description of its API, and what an answer and an event have to be.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::described::{Described, Operation};

static SPEC: LazyLock<Described> = LazyLock::new(|| Described::new(include_bytes!("openapi.json"), &[]));

pub fn spec() -> &'static Described {
    &SPEC
}

/// What is wrong with an answer.
pub fn answer(op: Operation, status: u16, body: &Value) -> Vec<String> {
    // Every operation may say these, described or not.
    if matches!(status, 401 | 429 | 500..) {
        return Vec::new();
    }
    let Some(described) = SPEC.answer(op, &status.to_string()) else {
        return vec![format!("it answers {status}, which is not described")];
    };
    let schema = described.pointer("/content/application~1json/schema");
    schema.map(|s| SPEC.wrong(s, body)).unwrap_or_default()
}

/// What is wrong with an event.
pub fn event(event: &Value) -> Vec<String> {
    SPEC.wrong(&json!({ "$ref": "#/components/schemas/EventSchema" }), event)
}
