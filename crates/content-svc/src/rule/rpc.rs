//! Rules on the wire.

use kit::Fault;
use prost_types::value::Kind as Json;
use proto::content as pb;
use proto::content::rule::Kind;

use super::model::{DEEPEST, Op, Rule, Value};
use crate::wire::{Wire, enum_of, mirror};

mirror!(Op => pb::RuleOp { Eq, Ne, Lt, Lte, Gt, Gte, In, Contains, Exists });

/// Reads a rule that may be absent.
pub fn maybe_rule(field: &str, given: Option<pb::Rule>) -> Result<Option<Rule>, Fault> {
    given.map(|r| rule(field, Some(r))).transpose()
}

/// Reads a rule that must be there.
pub fn rule(field: &str, given: Option<pb::Rule>) -> Result<Rule, Fault> {
    read(field, given, DEEPEST)
}

fn read(field: &str, given: Option<pb::Rule>, levels: usize) -> Result<Rule, Fault> {
    if levels == 0 {
        return Err(Fault::field(field, "too_deep", format!("a rule is at most {DEEPEST} levels deep")));
    }
    let kind = given.and_then(|r| r.kind);
    let kind = kind.ok_or_else(|| Fault::field(field, "required", "a rule has exactly one case"))?;
    let list = |name: &str, list: pb::RuleList| {
        let rules = list.rules.into_iter().enumerate();
        rules
            .map(|(i, r)| read(&format!("{field}.{name}.rules[{i}]"), Some(r), levels - 1))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(match kind {
        Kind::All(rules) => Rule::All(list("all", rules)?),
        Kind::Any(rules) => Rule::Any(list("any", rules)?),
        Kind::Not(inner) => Rule::Not(Box::new(read(&format!("{field}.not"), Some(*inner), levels - 1)?)),
        Kind::Persona(id) => Rule::Persona(id),
        Kind::Region(code) => Rule::Region(code.to_ascii_uppercase()),
        Kind::Reason(category) => Rule::Reason(category),
        Kind::Fact(pb::FactRule { key, op, value }) => {
            let (op, value) = comparison(&format!("{field}.fact"), op, value)?;
            Rule::Fact { key, op, value }
        }
        Kind::Answer(pb::AnswerRule { question, op, value }) => {
            let (op, value) = comparison(&format!("{field}.answer"), op, value)?;
            Rule::Answer { question, op, value }
        }
    })
}

/// Reads an operator and a value that fits it.
fn comparison(field: &str, op: i32, given: Option<prost_types::Value>) -> Result<(Op, Option<Value>), Fault> {
    let op: Op = enum_of(&format!("{field}.op"), op)?;
    let field = format!("{field}.value");
    let value = given.map(|v| value(&field, v, true)).transpose()?.flatten();
    if op.fits(value.as_ref()) {
        Ok((op, value))
    } else {
        Err(Fault::field(field, "wrong_type", "the value does not fit the operator"))
    }
}

fn value(field: &str, given: prost_types::Value, lists: bool) -> Result<Option<Value>, Fault> {
    let wrong = || Fault::field(field, "wrong_type", "a boolean, number, text or list of these is expected");
    Ok(match given.kind {
        None | Some(Json::NullValue(_)) => None,
        Some(Json::BoolValue(b)) => Some(Value::Bool(b)),
        Some(Json::NumberValue(n)) => Some(Value::Number(n)),
        Some(Json::StringValue(s)) if s.len() <= 500 => Some(Value::Text(s)),
        Some(Json::ListValue(list)) if lists && list.values.len() <= 200 => {
            let values = list.values.into_iter().map(|v| value(field, v, false)?.ok_or_else(wrong));
            Some(Value::List(values.collect::<Result<_, _>>()?))
        }
        Some(_) => return Err(wrong()),
    })
}

impl From<Rule> for pb::Rule {
    fn from(rule: Rule) -> Self {
        let list = |rules: Vec<Rule>| pb::RuleList { rules: rules.into_iter().map(Into::into).collect() };
        let kind = match rule {
            Rule::All(rules) => Kind::All(list(rules)),
            Rule::Any(rules) => Kind::Any(list(rules)),
            Rule::Not(inner) => Kind::Not(Box::new((*inner).into())),
            Rule::Persona(id) => Kind::Persona(id),
            Rule::Region(code) => Kind::Region(code),
            Rule::Reason(category) => Kind::Reason(category),
            Rule::Fact { key, op, value } => {
                Kind::Fact(pb::FactRule { key, op: op.to_wire(), value: value.map(to_value) })
            }
            Rule::Answer { question, op, value } => {
                Kind::Answer(pb::AnswerRule { question, op: op.to_wire(), value: value.map(to_value) })
            }
        };
        Self { kind: Some(kind) }
    }
}

fn to_value(value: Value) -> prost_types::Value {
    let kind = match value {
        Value::Bool(b) => Json::BoolValue(b),
        Value::Number(n) => Json::NumberValue(n),
        Value::Text(s) => Json::StringValue(s),
        Value::List(values) => {
            Json::ListValue(prost_types::ListValue { values: values.into_iter().map(to_value).collect() })
        }
    };
    prost_types::Value { kind: Some(kind) }
}
