//! What a setting is, which values it takes, and which of several holds.

use aws_lc_rs::digest;
use kit::{FieldError, Timestamp};
use serde::{Deserialize, Serialize};

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<String>),
}

/// Which values a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    Text {
        longest: usize,
    },
    Choice(&'static [&'static str]),
    /// A list of domain names.
    Domains {
        most: usize,
    },
}

/// The longest domain name there is.
pub const LONGEST_DOMAIN: usize = 253;

/// A default as the registry can write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    Off,
    Int(i64),
    Text(&'static str),
    /// The empty list.
    Empty,
}

impl Default {
    pub fn value(self) -> Value {
        match self {
            Self::Off => Value::Bool(false),
            Self::Int(n) => Value::Int(n),
            Self::Text(t) => Value::Text(t.to_owned()),
            Self::Empty => Value::List(Vec::new()),
        }
    }
}

/// Who may give a setting a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Editor {
    /// An operator, for the whole installation only.
    Platform,
    /// An operator, for a company as well.
    Operator,
    /// A retention admin too, for the own company.
    Company,
}

/// A setting there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub key: &'static str,
    pub kind: Kind,
    pub default: Default,
    pub editor: Editor,
    /// A switch that can be rolled out to a share of the companies.
    pub flag: bool,
    /// A company's live and test values are apart. The installation's is one for both.
    pub per_mode: bool,
    /// A company may only go below what holds for the installation.
    pub narrows: bool,
    pub description: &'static str,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    Platform,
    Company,
}

/// What one level gives a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    pub key: String,
    /// None: the level gives nothing any more.
    pub value: Option<Value>,
    /// For how many per cent of the companies a flag of the installation is on.
    pub rollout: Option<u32>,
    pub changed_by: String,
    #[serde(with = "store::time")]
    pub changed_at: Timestamp,
}

/// One change of what a level gives: written once, never changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub key: String,
    /// The version it made.
    pub version: i64,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub rollout_before: Option<u32>,
    pub rollout_after: Option<u32>,
    pub changed_by: String,
    pub role: String,
    pub reason: String,
    #[serde(with = "store::time")]
    pub changed_at: Timestamp,
    pub rolled_back_to: Option<i64>,
}

/// Where a company stands among all of them for one flag: 0 to 99. The same on every machine and for ever, and for
/// another flag another place, so that not always the same companies come first.
pub fn bucket(key: &str, company: &str) -> u32 {
    let hash = digest::digest(&digest::SHA256, format!("{key}\0{company}").as_bytes());
    let first = hash.as_ref().iter().take(8).fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    // The share of the whole range that lies below, so that every place is as likely as every other.
    u32::try_from((u128::from(first) * 100) >> 64).unwrap_or(99)
}

fn wrong(code: &str, message: impl Into<String>) -> FieldError {
    FieldError::new("value", code, message)
}

impl Setting {
    /// Reads a value as it came, in the form it is kept in.
    pub fn read(&self, json: serde_json::Value) -> Result<Value, FieldError> {
        use serde_json::Value as Json;
        let value = match (self.kind, json) {
            (Kind::Bool, Json::Bool(b)) => Value::Bool(b),
            (Kind::Int { .. }, Json::Number(n)) => {
                Value::Int(n.as_i64().ok_or_else(|| wrong("int", "must be a whole number"))?)
            }
            (Kind::Text { .. } | Kind::Choice(_), Json::String(s)) => Value::Text(s),
            (Kind::Domains { .. }, Json::Array(items)) => {
                let text = |item: Json| match item {
                    Json::String(s) => Ok(s.trim().trim_end_matches('.').to_ascii_lowercase()),
                    _ => Err(wrong("list", "every item must be a text")),
                };
                Value::List(items.into_iter().map(text).collect::<Result<_, _>>()?)
            }
            (kind, _) => return Err(wrong("type", format!("must be {}", kind.named()))),
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Whether a value is one the setting takes.
    pub fn check(&self, value: &Value) -> Result<(), FieldError> {
        match (self.kind, value) {
            (Kind::Bool, Value::Bool(_)) => Ok(()),
            (Kind::Int { min, max }, Value::Int(n)) if (min..=max).contains(n) => Ok(()),
            (Kind::Int { min, max }, Value::Int(_)) => {
                Err(wrong("int.range", format!("must be between {min} and {max}")))
            }
            (Kind::Text { longest }, Value::Text(t)) if t.chars().count() > longest => {
                Err(wrong("string.max_len", format!("must have at most {longest} characters")))
            }
            (Kind::Text { .. }, Value::Text(t)) if t.chars().any(char::is_control) => {
                Err(wrong("string.control", "must be one line without control characters"))
            }
            (Kind::Text { .. }, Value::Text(_)) => Ok(()),
            (Kind::Choice(choices), Value::Text(t)) if choices.contains(&t.as_str()) => Ok(()),
            (Kind::Choice(choices), Value::Text(_)) => {
                Err(wrong("choice", format!("must be one of {}", choices.join(", "))))
            }
            (Kind::Domains { most }, Value::List(items)) => check_domains(items, most),
            (kind, _) => Err(wrong("type", format!("must be {}", kind.named()))),
        }
    }

    /// Whether a company may have this value while `above` holds for the installation.
    pub fn check_below(&self, value: &Value, above: &Value) -> Result<(), FieldError> {
        match (value, above) {
            (Value::Int(own), Value::Int(most)) if self.narrows && own > most => {
                Err(wrong("config.narrows", format!("a company may go down from {most}, not up")))
            }
            _ => Ok(()),
        }
    }

    /// What holds for the installation as such, or for a company that has no value of its own.
    fn above(&self, company: Option<&str>, platform: Option<&Assigned>, default: &Value) -> (Value, Source) {
        match platform.and_then(|a| Some((a, self.fit(a)?))) {
            Some((a, value)) => match (a.rollout, company) {
                (Some(percent), _) if percent >= 100 => (value, Source::Platform),
                (Some(percent), Some(company)) if bucket(self.key, company) < percent => {
                    (value, Source::Platform)
                }
                (Some(_), _) => (default.clone(), Source::Default),
                (None, _) => (value, Source::Platform),
            },
            None => (default.clone(), Source::Default),
        }
    }

    /// What holds: the company's own value, else the installation's, else the default. A stored value that the setting
    /// does not take any more counts as none.
    pub fn resolve(
        &self,
        company: Option<&str>,
        own: Option<&Assigned>,
        platform: Option<&Assigned>,
        default: &Value,
    ) -> (Value, Source) {
        let above = self.above(company, platform, default);
        let own = own.filter(|_| self.editor != Editor::Platform).and_then(|a| self.fit(a));
        match own {
            Some(own) if self.check_below(&own, &above.0).is_ok() => (own, Source::Company),
            // The installation has gone below the company's value since: it binds.
            _ => above,
        }
    }

    fn fit(&self, assigned: &Assigned) -> Option<Value> {
        assigned.value.clone().filter(|v| self.check(v).is_ok())
    }
}

impl Kind {
    fn named(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int { .. } => "a whole number",
            Self::Text { .. } | Self::Choice(_) => "a text",
            Self::Domains { .. } => "a list of texts",
        }
    }
}

fn check_domains(items: &[String], most: usize) -> Result<(), FieldError> {
    if items.len() > most {
        return Err(wrong("list.max_items", format!("must have at most {most} items")));
    }
    for (at, item) in items.iter().enumerate() {
        if !is_domain(item) {
            return Err(wrong("domain", format!("{item:?} is no domain such as example.com")));
        }
        if items.iter().take(at).any(|other| other == item) {
            return Err(wrong("list.unique", format!("{item} is there twice")));
        }
    }
    Ok(())
}

/// By shape, in lower case, with at least two labels.
fn is_domain(text: &str) -> bool {
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= LONGEST_DOMAIN && text.contains('.') && text.split('.').all(label)
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
