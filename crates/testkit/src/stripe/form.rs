//! Stripe's forms: `a[b]=1&c[0][d]=2` as nested values.

use serde_json::{Map, Value};

/// Reads pairs into an object; what is indexed `[0]`, `[1]` or `[]` becomes a list.
pub fn nest(pairs: impl Iterator<Item = (String, String)>) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in pairs {
        let name = name.replace(']', "");
        let steps: Vec<&str> = name.split('[').collect();
        put(&mut root, &steps, value);
    }
    root
}

fn put(at: &mut Value, steps: &[&str], value: String) {
    let Some((step, rest)) = steps.split_first() else {
        *at = Value::String(value);
        return;
    };
    let is_index = step.is_empty() || step.bytes().all(|b| b.is_ascii_digit());
    if is_index {
        if !at.is_array() {
            *at = Value::Array(Vec::new());
        }
        let Value::Array(list) = at else { return };
        let index = step.parse().unwrap_or(list.len());
        while list.len() <= index {
            list.push(Value::Null);
        }
        put(&mut list[index], rest, value);
    } else {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        put(map.entry(*step).or_insert(Value::Null), rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_nest() {
        let pairs =
            [("a", "1"), ("b[c]", "2"), ("d[0][e]", "3"), ("d[1][e]", "4"), ("x[]", "5"), ("x[]", "6")];
        let got = nest(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(got, json!({"a": "1", "b": {"c": "2"}, "d": [{"e": "3"}, {"e": "4"}], "x": ["5", "6"]}));
    }
}
