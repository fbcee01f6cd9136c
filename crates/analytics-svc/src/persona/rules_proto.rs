//! Rules between the wire and the model.

use prost_types::Value as Wire;
use prost_types::value::Kind;
use proto::analytics as pb;

use crate::error::Error;
use crate::rules::{Op, Operand, Rule, Value};

/// Deeper than any rule may be; the model's own check says it nicely below this.
const DEEPEST: usize = 32;

/// Reads a rule; `field` is where it stands in the request.
pub fn read(rule: Option<pb::Rule>, field: &str) -> Result<Rule, Error> {
    read_below(rule, field, 0)
}

fn read_below(rule: Option<pb::Rule>, field: &str, depth: usize) -> Result<Rule, Error> {
    let empty = || Error::field(field, "required", "say `all`, `any`, `not`, `fact` or `event`");
    if depth > DEEPEST {
        return Err(Error::field(field, "too_deep", "a rule is at most 8 deep"));
    }
    let each = |rules: Vec<pb::Rule>, word: &str| {
        let read = |(i, r)| read_below(Some(r), &format!("{field}.{word}.rules[{i}]"), depth + 1);
        rules.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()
    };
    match rule.and_then(|r| r.rule).ok_or_else(empty)? {
        pb::rule::Rule::All(pb::AllRule { rules }) => Ok(Rule::All(each(rules, "all")?)),
        pb::rule::Rule::Any(pb::AnyRule { rules }) => Ok(Rule::Any(each(rules, "any")?)),
        pb::rule::Rule::Not(not) => {
            let inner = read_below(not.rule.map(|r| *r), &format!("{field}.not.rule"), depth + 1)?;
            Ok(Rule::Not(Box::new(inner)))
        }
        pb::rule::Rule::Fact(fact) => {
            let test = operand(fact.op(), fact.value, &format!("{field}.fact.value"))?;
            Ok(Rule::Fact { key: fact.key, test })
        }
        pb::rule::Rule::Event(pb::EventRule { name, within_days, at_least }) => {
            Ok(Rule::Event { name, within_days, at_least })
        }
    }
}

fn operand(op: pb::FactOp, value: Option<Wire>, field: &str) -> Result<Operand, Error> {
    let wrong = |text: &str| Error::field(field, "value", text);
    let kind = value.and_then(|v| v.kind);
    let op = match op {
        pb::FactOp::Exists => {
            return match kind {
                None | Some(Kind::NullValue(_)) => Ok(Operand::Exists(true)),
                Some(Kind::BoolValue(b)) => Ok(Operand::Exists(b)),
                Some(_) => Err(wrong("exists takes true or false")),
            };
        }
        pb::FactOp::In => {
            let Some(Kind::ListValue(list)) = kind else { return Err(wrong("in takes a list")) };
            let values: Option<Vec<_>> = list.values.into_iter().map(|v| scalar(v.kind)).collect();
            return values.map(Operand::In).ok_or_else(|| wrong("a text, number or truth value each"));
        }
        pb::FactOp::Eq => Op::Eq,
        pb::FactOp::Ne => Op::Ne,
        pb::FactOp::Lt => Op::Lt,
        pb::FactOp::Lte => Op::Lte,
        pb::FactOp::Gt => Op::Gt,
        pb::FactOp::Gte => Op::Gte,
        pb::FactOp::Contains => Op::Contains,
        pb::FactOp::Unspecified => return Err(wrong("say how to compare")),
    };
    let value = scalar(kind).ok_or_else(|| wrong("a text, number or truth value"))?;
    Ok(Operand::Compare { op, value })
}

fn scalar(kind: Option<Kind>) -> Option<Value> {
    match kind? {
        Kind::BoolValue(b) => Some(Value::Bool(b)),
        Kind::NumberValue(n) => Some(Value::Number(n)),
        Kind::StringValue(t) => Some(Value::Text(t)),
        Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_) => None,
    }
}

/// The wire form of a rule.
pub fn write(rule: &Rule) -> pb::Rule {
    let each = |rules: &[Rule]| rules.iter().map(write).collect();
    let rule = match rule {
        Rule::All(rules) => pb::rule::Rule::All(pb::AllRule { rules: each(rules) }),
        Rule::Any(rules) => pb::rule::Rule::Any(pb::AnyRule { rules: each(rules) }),
        Rule::Not(inner) => pb::rule::Rule::Not(Box::new(pb::NotRule { rule: Some(Box::new(write(inner))) })),
        Rule::Fact { key, test } => {
            let (op, kind) = match test {
                Operand::Exists(wanted) => (pb::FactOp::Exists, Kind::BoolValue(*wanted)),
                Operand::In(values) => {
                    let values = values.iter().map(wire).collect();
                    (pb::FactOp::In, Kind::ListValue(prost_types::ListValue { values }))
                }
                Operand::Compare { op, value } => (op_to_proto(*op), kind(value)),
            };
            let value = Some(Wire { kind: Some(kind) });
            pb::rule::Rule::Fact(pb::FactRule { key: key.clone(), op: op.into(), value })
        }
        Rule::Event { name, within_days, at_least } => pb::rule::Rule::Event(pb::EventRule {
            name: name.clone(),
            within_days: *within_days,
            at_least: *at_least,
        }),
    };
    pb::Rule { rule: Some(rule) }
}

fn op_to_proto(op: Op) -> pb::FactOp {
    match op {
        Op::Eq => pb::FactOp::Eq,
        Op::Ne => pb::FactOp::Ne,
        Op::Lt => pb::FactOp::Lt,
        Op::Lte => pb::FactOp::Lte,
        Op::Gt => pb::FactOp::Gt,
        Op::Gte => pb::FactOp::Gte,
        Op::Contains => pb::FactOp::Contains,
    }
}

/// A fact as a free value.
pub fn wire(value: &Value) -> Wire {
    Wire { kind: Some(kind(value)) }
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(b) => Kind::BoolValue(*b),
        Value::Number(n) => Kind::NumberValue(*n),
        Value::Text(t) => Kind::StringValue(t.clone()),
    }
}
