//! A rule as a MongoDB aggregation expression, true exactly where [`super::holds`] is.

use bson::{Bson, doc};

use super::model::{Op, Operand, Rule, Value, event_key};

/// The expression. `facts` and `events` are the paths of the two maps in a document, such as `body.facts`.
pub fn expression(rule: &Rule, facts: &str, events: &str) -> Bson {
    let each = |rules: &[Rule]| rules.iter().map(|r| expression(r, facts, events)).collect::<Vec<_>>();
    match rule {
        Rule::All(rules) => doc! { "$and": each(rules) }.into(),
        Rule::Any(rules) => doc! { "$or": each(rules) }.into(),
        Rule::Not(rule) => doc! { "$not": [expression(rule, facts, events)] }.into(),
        Rule::Fact { key, test } => compare(&format!("${facts}.{key}"), test),
        Rule::Event { name, within_days, at_least } => {
            let path = format!("${events}.{}", event_key(name, *within_days));
            // A count that is not there sorts below every number.
            doc! { "$gte": [path, f64::from(*at_least)] }.into()
        }
    }
}

fn compare(path: &str, test: &Operand) -> Bson {
    match test {
        Operand::Exists(true) => doc! { "$gt": [path, Bson::Null] }.into(),
        Operand::Exists(false) => doc! { "$lte": [path, Bson::Null] }.into(),
        Operand::In(values) => {
            let list: Vec<_> = values.iter().map(literal).collect();
            doc! { "$in": [path, list] }.into()
        }
        Operand::Compare { op: Op::Eq, value } => doc! { "$eq": [path, literal(value)] }.into(),
        Operand::Compare { op: Op::Ne, value } => doc! { "$ne": [path, literal(value)] }.into(),
        Operand::Compare { op: Op::Contains, value } => {
            let found = doc! { "$gte": [{ "$indexOfBytes": [path, literal(value)] }, 0] };
            // Not `$and` of guard and search alone: the search fails on what is no text, so the guard must come first.
            doc! { "$cond": [of_type(path, value), found, false] }.into()
        }
        Operand::Compare { op, value } => {
            let name = match op {
                Op::Lt => "$lt",
                Op::Lte => "$lte",
                Op::Gt => "$gt",
                _ => "$gte",
            };
            // Expressions order across types; a rule does not.
            doc! { "$and": [of_type(path, value), { name: [path, literal(value)] }] }.into()
        }
    }
}

fn of_type(path: &str, value: &Value) -> Bson {
    match value {
        Value::Number(_) => doc! { "$isNumber": path }.into(),
        Value::Bool(_) => doc! { "$eq": [{ "$type": path }, "bool"] }.into(),
        Value::Text(_) => doc! { "$eq": [{ "$type": path }, "string"] }.into(),
    }
}

/// A value that is never read as a path or an operator.
fn literal(value: &Value) -> Bson {
    match value {
        Value::Bool(b) => Bson::Boolean(*b),
        Value::Number(n) => Bson::Double(*n),
        Value::Text(t) => doc! { "$literal": t }.into(),
    }
}
