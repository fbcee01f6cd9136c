//! Free JSON values as messages carry them, and back.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::Value;

/// A free JSON value on the wire.
pub fn to_wire(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(0.0)),
        Value::String(s) => Kind::StringValue(s.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(to_wire).collect() }),
        Value::Object(fields) => Kind::StructValue(Struct {
            fields: fields.iter().map(|(k, v)| (k.clone(), to_wire(v))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}

/// An object on the wire; none for a value that is no object.
pub fn object_to_wire(value: &Value) -> Option<Struct> {
    match to_wire(value).kind {
        Some(Kind::StructValue(fields)) => Some(fields),
        _ => None,
    }
}

/// A free value from the wire. Whole numbers stay whole.
pub fn from_wire(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) if n.fract() == 0.0 && n.abs() < 9_007_199_254_740_992.0 => {
            #[expect(clippy::cast_possible_truncation, reason = "whole and small, by the guard")]
            let whole = n as i64;
            Value::from(whole)
        }
        Some(Kind::NumberValue(n)) => Value::from(n),
        Some(Kind::StringValue(s)) => Value::String(s),
        Some(Kind::ListValue(l)) => Value::Array(l.values.into_iter().map(from_wire).collect()),
        Some(Kind::StructValue(fields)) => object_from_wire(fields),
    }
}

/// An object from the wire.
pub fn object_from_wire(fields: Struct) -> Value {
    Value::Object(fields.fields.into_iter().map(|(k, v)| (k, from_wire(v))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_read_back() {
        let sent = serde_json::json!({ "a": [1, 2.5, "x", null, true], "b": { "c": -9 } });
        assert_eq!(from_wire(to_wire(&sent)), sent);
        assert!(object_to_wire(&serde_json::json!([1])).is_none());
    }
}
