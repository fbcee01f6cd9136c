//! Rules and the values they compare.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// What is known of a customer, by key. Numbers are doubles everywhere, so that every evaluator compares alike.
pub type Facts = BTreeMap<String, Value>;

/// How often a customer did something, by [`event_key`].
pub type EventCounts = BTreeMap<String, u32>;

/// The deepest a tree may be.
pub const MAX_DEPTH: usize = 8;
/// The most nodes a tree may have.
pub const MAX_NODES: usize = 64;
/// The longest text a rule may compare with.
const MAX_TEXT: usize = 500;

/// A single fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Number(f64),
    Text(String),
}

impl From<f64> for Value {
    fn from(n: f64) -> Self {
        Self::Number(n)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<&str> for Value {
    fn from(t: &str) -> Self {
        Self::Text(t.to_owned())
    }
}

impl From<String> for Value {
    fn from(t: String) -> Self {
        Self::Text(t)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

/// How a fact is compared. One that is missing or of another type fails all but `Ne`, which then is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
    Contains,
}

/// What a fact is compared with, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    Compare {
        op: Op,
        value: Value,
    },
    In(Vec<Value>),
    /// Whether it must be there, or must not.
    Exists(bool),
}

/// A tree of conditions on one customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Fact { key: String, test: Operand },
    Event { name: String, within_days: u32, at_least: u32 },
}

/// Why a rule cannot be kept: the path of the wrong place below the rule, a slug, and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub path: String,
    pub code: &'static str,
    pub message: String,
}

impl Wrong {
    pub fn new(path: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.into(), code, message: message.into() }
    }
}

impl Rule {
    /// Refuses a tree that is too deep or too large, and a value no fact could be compared with.
    pub fn check(&self) -> Result<(), Wrong> {
        let mut nodes = 0;
        self.check_below("", 1, &mut nodes)
    }

    fn check_below(&self, path: &str, depth: usize, nodes: &mut usize) -> Result<(), Wrong> {
        *nodes += 1;
        if depth > MAX_DEPTH {
            return Err(Wrong::new(path, "too_deep", format!("a rule is at most {MAX_DEPTH} deep")));
        }
        if *nodes > MAX_NODES {
            return Err(Wrong::new(path, "too_large", format!("a rule has at most {MAX_NODES} conditions")));
        }
        match self {
            Self::All(rules) | Self::Any(rules) => {
                let word = if matches!(self, Self::All(_)) { "all" } else { "any" };
                for (i, rule) in rules.iter().enumerate() {
                    rule.check_below(&format!("{path}.{word}.rules[{i}]"), depth + 1, nodes)?;
                }
                Ok(())
            }
            Self::Not(rule) => rule.check_below(&format!("{path}.not.rule"), depth + 1, nodes),
            Self::Fact { test, .. } => {
                test.check().map_err(|text| Wrong::new(format!("{path}.fact.value"), "value", text))
            }
            Self::Event { .. } => Ok(()),
        }
    }

    /// Every count of events the tree asks for: name and days.
    pub fn event_windows(&self) -> BTreeSet<(String, u32)> {
        let mut found = BTreeSet::new();
        self.collect_windows(&mut found);
        found
    }

    fn collect_windows(&self, into: &mut BTreeSet<(String, u32)>) {
        match self {
            Self::All(rules) | Self::Any(rules) => rules.iter().for_each(|r| r.collect_windows(into)),
            Self::Not(rule) => rule.collect_windows(into),
            Self::Fact { .. } => {}
            Self::Event { name, within_days, .. } => {
                into.insert((name.clone(), *within_days));
            }
        }
    }
}

impl Operand {
    fn check(&self) -> Result<(), String> {
        let values: &[Value] = match self {
            Self::Compare { op: Op::Contains, value } if !matches!(value, Value::Text(_)) => {
                return Err("contains compares with a text".into());
            }
            Self::Compare { value, .. } => std::slice::from_ref(value),
            Self::In(values) if values.is_empty() || values.len() > 100 => {
                return Err("in takes a list of 1 to 100 values".into());
            }
            Self::In(values) => values,
            Self::Exists(_) => &[],
        };
        for value in values {
            match value {
                Value::Text(t) if t.len() > MAX_TEXT || t.contains('\0') => {
                    return Err(format!("a text has at most {MAX_TEXT} bytes and no NUL"));
                }
                Value::Number(n) if !n.is_finite() => return Err("a number must be finite".into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where the count of an event within some days is kept. A point in the name would read as a path there.
pub fn event_key(name: &str, within_days: u32) -> String {
    format!("{}_{within_days}d", name.replace('.', "~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_too_deep_or_compares_nonsense_is_refused_with_its_place() {
        let leaf = Rule::Fact { key: "a".into(), test: Operand::In(Vec::new()) };
        let wrong = Rule::All(vec![Rule::Not(Box::new(leaf))]).check().unwrap_err();
        assert_eq!((wrong.path.as_str(), wrong.code), (".all.rules[0].not.rule.fact.value", "value"));
        let mut deep = Rule::All(Vec::new());
        for _ in 0..MAX_DEPTH {
            deep = Rule::Not(Box::new(deep));
        }
        assert_eq!(deep.check().unwrap_err().code, "too_deep");
        assert_eq!(Rule::Any(vec![Rule::All(vec![]); MAX_NODES]).check().unwrap_err().code, "too_large");
    }
}
