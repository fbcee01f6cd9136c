//! Whether a rule holds for what is known of a customer.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::rule::{Op, Rule, Value};

/// What a customer answered to a question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Keys of choices.
    Choices(Vec<String>),
    /// Free words, or a date.
    Text(String),
    Scale(i32),
}

/// What is known of a customer when a rule is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub personas: BTreeSet<String>,
    pub facts: BTreeMap<String, Value>,
    /// Region codes from narrow to wide: `US-CA`, `US`.
    pub regions: Vec<String>,
    pub answers: BTreeMap<String, Answer>,
    /// The category of the reason given.
    pub reason: Option<String>,
}

/// Whether a rule holds. What is not known makes a comparison false.
pub fn holds(rule: &Rule, known: &Known) -> bool {
    match rule {
        Rule::All(rules) => rules.iter().all(|r| holds(r, known)),
        Rule::Any(rules) => rules.iter().any(|r| holds(r, known)),
        Rule::Not(rule) => !holds(rule, known),
        Rule::Persona(id) => known.personas.contains(id),
        Rule::Region(code) => known.regions.contains(code),
        Rule::Reason(category) => known.reason.as_ref() == Some(category),
        Rule::Fact { key, op, value } => {
            known.facts.get(key).is_some_and(|fact| compare(*op, fact, value.as_ref()))
        }
        Rule::Answer { question, op, value } => {
            known.answers.get(question).is_some_and(|answer| match answer {
                Answer::Text(text) => compare(*op, &Value::Text(text.clone()), value.as_ref()),
                Answer::Scale(n) => compare(*op, &Value::Number(f64::from(*n)), value.as_ref()),
                Answer::Choices(keys) => chosen(*op, keys, value.as_ref()),
            })
        }
    }
}

/// One chosen key compares like a text; of several, `eq` and `contains` ask for one of them.
fn chosen(op: Op, keys: &[String], value: Option<&Value>) -> bool {
    let one = |key: &String| Value::Text(key.clone());
    match op {
        Op::Exists => !keys.is_empty(),
        Op::Ne => !keys.iter().any(|k| Some(&one(k)) == value),
        Op::Contains => keys.iter().any(|k| Some(&one(k)) == value),
        _ => keys.iter().any(|k| compare(op, &one(k), value)),
    }
}

fn compare(op: Op, known: &Value, value: Option<&Value>) -> bool {
    let Some(value) = value else { return op == Op::Exists };
    match op {
        Op::Eq => known == value,
        // Of another kind is not "different": it cannot be compared.
        Op::Ne => std::mem::discriminant(known) == std::mem::discriminant(value) && known != value,
        Op::Lt => order(known, value).is_some_and(std::cmp::Ordering::is_lt),
        Op::Lte => order(known, value).is_some_and(std::cmp::Ordering::is_le),
        Op::Gt => order(known, value).is_some_and(std::cmp::Ordering::is_gt),
        Op::Gte => order(known, value).is_some_and(std::cmp::Ordering::is_ge),
        Op::In => matches!(value, Value::List(values) if values.contains(known)),
        Op::Contains => match (known, value) {
            (Value::List(values), value) => values.contains(value),
            (Value::Text(text), Value::Text(part)) => text.contains(part),
            _ => false,
        },
        Op::Exists => true,
    }
}

fn order(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn known() -> Known {
        Known {
            personas: BTreeSet::from(["per_1".into()]),
            facts: BTreeMap::from([
                ("tenure_months".into(), Value::Number(8.0)),
                ("plan".into(), Value::Text("fibre".into())),
            ]),
            regions: vec!["US-CA".into(), "US".into()],
            answers: BTreeMap::from([("reason".into(), Answer::Choices(vec!["price".into()]))]),
            reason: Some("too_expensive".into()),
        }
    }

    fn fact(key: &str, op: Op, value: Value) -> Rule {
        Rule::Fact { key: key.into(), op, value: Some(value) }
    }

    #[test]
    fn rules_look_at_what_is_known() {
        let is = |rule: &Rule| holds(rule, &known());
        assert!(is(&fact("tenure_months", Op::Lt, Value::Number(12.0))));
        assert!(!is(&fact("tenure_months", Op::Lt, Value::Text("12".into()))));
        assert!(is(&fact("plan", Op::In, Value::List(vec![Value::Text("fibre".into())]))));
        assert!(!is(&fact("seats", Op::Ne, Value::Number(1.0))), "what is not known makes it false");
        assert!(is(&Rule::Region("US".into())) && !is(&Rule::Region("US-NY".into())));
        let price = Some(Value::Text("price".into()));
        assert!(is(&Rule::Answer { question: "reason".into(), op: Op::Eq, value: price }));
        assert!(is(&Rule::All(vec![])) && !is(&Rule::Any(vec![])));
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let leaf = prop_oneof![
            prop_oneof![Just("per_1"), Just("per_2")].prop_map(|id| Rule::Persona(id.into())),
            (0_i32..20).prop_map(|n| fact("tenure_months", Op::Lt, Value::Number(f64::from(n)))),
            Just(Rule::Reason("too_expensive".into())),
        ];
        leaf.prop_recursive(4, 16, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Rule::All),
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Rule::Any),
                inner.prop_map(|r| Rule::Not(Box::new(r))),
            ]
        })
    }

    proptest! {
        #[test]
        fn not_all_is_any_not(rules in proptest::collection::vec(rules(), 0..4)) {
            let all = Rule::Not(Box::new(Rule::All(rules.clone())));
            let any = Rule::Any(rules.into_iter().map(|r| Rule::Not(Box::new(r))).collect());
            prop_assert_eq!(holds(&all, &known()), holds(&any, &known()));
        }
    }
}
