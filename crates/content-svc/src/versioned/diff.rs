//! What changed between two versions, field by field.

use serde::Serialize;
use serde_json::Value;

/// One place in which two versions differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Path inside the content.
    pub field: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// The places in which two values differ, in the order of the fields.
pub fn changes<T: Serialize>(before: &T, after: &T) -> Result<Vec<Change>, serde_json::Error> {
    let mut found = Vec::new();
    walk(String::new(), Some(serde_json::to_value(before)?), Some(serde_json::to_value(after)?), &mut found);
    Ok(found)
}

fn walk(field: String, before: Option<Value>, after: Option<Value>, found: &mut Vec<Change>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(mut before)), Some(Value::Object(mut after))) => {
            let mut names: Vec<String> = before.keys().chain(after.keys()).cloned().collect();
            names.sort();
            names.dedup();
            for name in names {
                let inner = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                walk(inner, before.remove(&name), after.remove(&name), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            let most = before.len().max(after.len());
            let (mut before, mut after) = (before.into_iter(), after.into_iter());
            for i in 0..most {
                walk(format!("{field}[{i}]"), before.next(), after.next(), found);
            }
        }
        (before, after) => {
            let some = |v: Option<Value>| v.filter(|v| !v.is_null());
            found.push(Change { field, before: some(before), after: some(after) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_differs_is_named() {
        let before = json!({"title": "Stay", "places": ["a", "b"], "theme": {"accent": "#000"}});
        let after = json!({"title": "Stay", "places": ["a", "c", "d"], "theme": {"accent": "#111"}});
        let found = changes(&before, &after).unwrap();
        let fields: Vec<_> = found.iter().map(|c| c.field.as_str()).collect();
        assert_eq!(fields, ["places[1]", "places[2]", "theme.accent"]);
        assert_eq!((&found[1].before, &found[1].after), (&None, &Some(json!("d"))));
    }
}
