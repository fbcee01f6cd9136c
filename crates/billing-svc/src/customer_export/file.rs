//! How customers stand in a file.

use kit::Timestamp;
use serde_json::{Map, Value, json};
use store::Stored;

use super::model::Format;
use crate::customers::{Customer, Definitions, EXTERNAL};

const COLUMNS: [&str; 18] = [
    "id",
    "external_id",
    "other_external_ids",
    "email",
    "name",
    "locale",
    "country",
    "currency",
    "state",
    "tags",
    "owner",
    "mrr_minor",
    "lifetime_value_minor",
    "subscription_count",
    "at_risk",
    "provider_ids",
    "created_at",
    "updated_at",
];

/// The first line of a CSV file: the fields, and a column for each declared attribute.
pub fn head(format: Format, definitions: &Definitions) -> String {
    match format {
        Format::Csv => {
            let fields = COLUMNS.into_iter().map(str::to_owned);
            line(fields.chain(definitions.keys().map(|key| format!("attributes.{key}"))))
        }
        Format::JsonLines => String::new(),
    }
}

/// One customer.
pub fn row(format: Format, c: &Stored<Customer>, definitions: &Definitions, now: Timestamp) -> String {
    let values = values(c, now);
    let attribute = |key: &String| c.body.attributes.get(key).map_or(Value::Null, |a| a.value.clone());
    match format {
        Format::Csv => line(values.into_iter().chain(definitions.keys().map(attribute)).map(cell)),
        Format::JsonLines => {
            let mut object: Map<_, _> = COLUMNS.into_iter().map(str::to_owned).zip(values).collect();
            let attributes = c.body.values().map(|(key, a)| (key.clone(), a.value.clone())).collect();
            object.insert("attributes".into(), Value::Object(attributes));
            Value::Object(object).to_string() + "\n"
        }
    }
}

fn values(stored: &Stored<Customer>, now: Timestamp) -> [Value; 18] {
    let Stored { id, created_at, updated_at, body: c, .. } = stored;
    let others: Vec<_> = c.names(EXTERNAL).skip(1).collect();
    [
        json!(id),
        json!(c.external_id),
        json!(others),
        json!(c.email),
        json!(c.name),
        json!(c.locale),
        json!(c.country),
        json!(c.currency),
        json!(c.state.as_str()),
        json!(c.tags),
        json!(c.owner),
        json!(c.mrr.map(|m| m.minor)),
        json!(c.mrr.map(|m| c.lifetime.value(m.currency, now).minor)),
        json!(c.subscription_count),
        json!(c.at_risk),
        json!(c.links),
        json!(created_at.to_string()),
        json!(updated_at.to_string()),
    ]
}

/// A value as a cell: lists of texts with semicolons between them.
fn cell(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        Value::Array(items) => items.into_iter().map(cell).collect::<Vec<_>>().join(";"),
        Value::Object(fields) if fields.is_empty() => String::new(),
        other => other.to_string(),
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A cell of RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe before it; a number does not.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err();
    let guard = if formula { "'" } else { "" };
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{guard}{}\"", cell.replace('"', "\"\""))
    } else {
        format!("{guard}{cell}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_and_no_formula() {
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("-12"), "-12");
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(cell(json!(["a", "b"])), "a;b");
    }
}
