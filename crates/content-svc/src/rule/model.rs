//! The tree of a rule, and what can be said of it without a customer. Whether it holds is for `engine`.

use serde::{Deserialize, Serialize};

/// How deep a rule may be nested.
pub const DEEPEST: usize = 8;

/// A condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Every one holds; of none, holds.
    All(Vec<Rule>),
    /// One holds; of none, does not hold.
    Any(Vec<Rule>),
    Not(Box<Rule>),
    /// The customer is in this persona.
    Persona(String),
    /// An attribute or derived fact of the customer; one that is not known makes it false.
    Fact {
        key: String,
        op: Op,
        value: Option<Value>,
    },
    /// The answer to a question; a choice is named by its key.
    Answer {
        question: String,
        op: Op,
        value: Option<Value>,
    },
    /// The customer's region.
    Region(String),
    /// The category of the reason given.
    Reason(String),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    /// The value is a list and holds what is known.
    In,
    /// What is known is a list or text and holds the value.
    Contains,
    /// Something is known; there is no value.
    Exists,
}

/// What a rule compares with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

impl Op {
    /// Whether a value can be compared with it.
    pub fn fits(self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Exists, None) | (Self::In, Some(Value::List(_))) => true,
            (Self::Exists | Self::In, _) | (_, None | Some(Value::List(_))) => false,
            (Self::Lt | Self::Lte | Self::Gt | Self::Gte, Some(v)) => {
                matches!(v, Value::Number(_) | Value::Text(_))
            }
            (Self::Eq | Self::Ne | Self::Contains, Some(_)) => true,
        }
    }
}

impl Rule {
    /// The same rule where personas have other names.
    #[must_use]
    pub fn renamed(self, name: &dyn Fn(&str) -> String) -> Self {
        let all = |rules: Vec<Self>| rules.into_iter().map(|r| r.renamed(name)).collect();
        match self {
            Self::All(rules) => Self::All(all(rules)),
            Self::Any(rules) => Self::Any(all(rules)),
            Self::Not(rule) => Self::Not(Box::new(rule.renamed(name))),
            Self::Persona(id) => Self::Persona(name(&id)),
            other => other,
        }
    }

    /// How many levels it has.
    pub fn depth(&self) -> usize {
        1 + self.children().map(Self::depth).max().unwrap_or(0)
    }

    /// Whether it depends on what the customer answers in the flow, so that the customer decides it.
    pub fn asks_the_customer(&self) -> bool {
        matches!(self, Self::Answer { .. } | Self::Reason(_)) || self.children().any(Self::asks_the_customer)
    }

    /// The keys of the questions it looks at.
    pub fn questions(&self) -> Vec<&str> {
        match self {
            Self::Answer { question, .. } => vec![question],
            other => other.children().flat_map(Self::questions).collect(),
        }
    }

    /// The personas it names.
    pub fn personas(&self) -> Vec<&str> {
        match self {
            Self::Persona(id) => vec![id],
            other => other.children().flat_map(Self::personas).collect(),
        }
    }

    fn children(&self) -> Box<dyn Iterator<Item = &Self> + '_> {
        match self {
            Self::All(rules) | Self::Any(rules) => Box::new(rules.iter()),
            Self::Not(rule) => Box::new(std::iter::once(rule.as_ref())),
            _ => Box::new(std::iter::empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_knows_its_depth_and_whom_it_asks() {
        let answer = Rule::Answer { question: "reason".into(), op: Op::Eq, value: None };
        let persona = Rule::Persona("per_1".into());
        let tree = Rule::All(vec![Rule::Not(Box::new(answer)), persona.clone()]);
        assert_eq!((tree.depth(), persona.depth()), (3, 1));
        assert!(tree.asks_the_customer() && !persona.asks_the_customer());
        assert_eq!((tree.questions(), tree.personas()), (vec!["reason"], vec!["per_1"]));
    }

    #[test]
    fn a_stored_rule_reads_like_what_it_says() {
        let rule = Rule::Fact { key: "tenure_months".into(), op: Op::Lt, value: Some(Value::Number(12.0)) };
        let stored = serde_json::to_value(&rule).unwrap();
        let said = serde_json::json!({"fact": {"key": "tenure_months", "op": "lt", "value": 12.0}});
        assert_eq!(stored, said);
        assert_eq!(serde_json::from_value::<Rule>(stored).unwrap(), rule);
    }
}
