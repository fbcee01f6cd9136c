//! From the columns of a file to what is said of a customer.

use std::collections::BTreeMap;

use kit::{FieldError, Timestamp};
use serde_json::Value;

use crate::customers::{Definitions, Said};
use crate::providers::ProviderKind;

/// What a column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    ExternalId,
    Email,
    Name,
    Locale,
    Country,
    Currency,
    Owner,
    Tags,
    ObservedAt,
    Provider(String),
    Attribute(String),
}

impl Target {
    /// What a mapping, or a column's own name, says; none where it says nothing.
    pub fn parse(text: &str, definitions: &Definitions) -> Option<Self> {
        Some(match text {
            "external_id" => Self::ExternalId,
            "email" => Self::Email,
            "name" => Self::Name,
            "locale" => Self::Locale,
            "country" => Self::Country,
            "currency" => Self::Currency,
            "owner" => Self::Owner,
            "tags" => Self::Tags,
            "observed_at" => Self::ObservedAt,
            other => {
                if let Some(provider) = other.strip_prefix("provider_ids.") {
                    return ProviderKind::parse(provider).map(|p| Self::Provider(p.as_str().to_owned()));
                }
                let key = other.strip_prefix("attributes.").unwrap_or(other);
                return definitions.contains_key(key).then(|| Self::Attribute(key.to_owned()));
            }
        })
    }
}

/// What the company says of its columns, and what their names say.
#[derive(Clone, Debug)]
pub struct Mapping<'a> {
    pub said: &'a BTreeMap<String, String>,
    pub definitions: &'a Definitions,
}

impl Mapping<'_> {
    /// Every target of the mapping that is none.
    pub fn faults(&self) -> Vec<FieldError> {
        let wrong = |(column, target): (&String, &String)| {
            let known = target.is_empty() || Target::parse(target, self.definitions).is_some();
            let text = "is neither a field of a customer nor a declared attribute";
            (!known).then(|| FieldError::new(format!("mapping.{column}"), "unknown_field", text))
        };
        self.said.iter().filter_map(wrong).collect()
    }

    /// What a column is; none where it is left out.
    pub fn target(&self, column: &str) -> Option<Target> {
        let name = self.said.get(column).map_or(column, String::as_str);
        Target::parse(name, self.definitions)
    }

    /// What a row says, and what of it cannot be read. Empty cells say nothing.
    pub fn read(&self, cells: Vec<(Target, Value)>) -> (Said, Vec<FieldError>) {
        let (mut said, mut wrong) = (Said::default(), Vec::new());
        for (target, value) in cells {
            if value.as_str().is_some_and(|t| t.trim().is_empty()) {
                continue;
            }
            if let Err(fault) = self.set(&mut said, target, value) {
                wrong.push(fault);
            }
        }
        if said.external_id.is_empty() {
            wrong.push(FieldError::new("external_id", "required", "the row names no customer"));
        } else if said.external_id.len() > 200 {
            wrong.push(FieldError::new("external_id", "too_long", "has more than 200 bytes"));
        } else if kit::id::is("cus", &said.external_id) {
            let text = "looks like an id of ours; give the company's own";
            wrong.push(FieldError::new("external_id", "reserved", text));
        }
        (said, wrong)
    }

    fn set(&self, said: &mut Said, target: Target, value: Value) -> Result<(), FieldError> {
        let field = match target {
            Target::ExternalId => {
                said.external_id = text("external_id", value)?;
                return Ok(());
            }
            Target::ObservedAt => {
                let at = text("observed_at", value)?;
                said.observed_at = Some(at.parse::<Timestamp>().map_err(|_| {
                    FieldError::new("observed_at", "wrong_type", "must be an instant as RFC 3339 writes it")
                })?);
                return Ok(());
            }
            Target::Tags => {
                said.tags = tags(value)?;
                return Ok(());
            }
            Target::Provider(provider) => {
                let id = text(&format!("provider_ids.{provider}"), value)?;
                said.links.insert(provider, id);
                return Ok(());
            }
            Target::Attribute(key) => {
                let read = match (self.definitions.get(&key), &value) {
                    // A text may stand for a value of another type, as in CSV all do.
                    (Some(d), Value::String(t)) => d.parse(t.trim()).unwrap_or(value),
                    _ => value,
                };
                said.attributes.insert(key, read);
                return Ok(());
            }
            Target::Email => ("email", &mut said.email),
            Target::Name => ("name", &mut said.name),
            Target::Locale => ("locale", &mut said.locale),
            Target::Country => ("country", &mut said.country),
            Target::Currency => ("currency", &mut said.currency),
            Target::Owner => ("owner", &mut said.owner),
        };
        let (name, into) = field;
        let read = text(name, value)?;
        if read.len() > 254 {
            return Err(FieldError::new(name, "too_long", "has more than 254 bytes"));
        }
        *into = Some(read);
        Ok(())
    }
}

fn text(field: &str, value: Value) -> Result<String, FieldError> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(n) => Ok(n.to_string()),
        Value::Null => Ok(String::new()),
        _ => Err(FieldError::new(field, "wrong_type", "must be a text")),
    }
}

/// A list, or texts parted by commas or semicolons.
fn tags(value: Value) -> Result<Vec<String>, FieldError> {
    let wrong = || FieldError::new("tags", "wrong_type", "must be at most 50 texts of at most 60 bytes");
    let all: Vec<String> = match value {
        Value::String(text) => text.split([',', ';']).map(|t| t.trim().to_owned()).collect(),
        Value::Array(items) => {
            let one = |v: Value| v.as_str().map(|t| t.trim().to_owned()).ok_or_else(wrong);
            items.into_iter().map(one).collect::<Result<_, _>>()?
        }
        Value::Null => Vec::new(),
        _ => return Err(wrong()),
    };
    let all: Vec<_> = all.into_iter().filter(|t| !t.is_empty()).collect();
    if all.len() > 50 || all.iter().any(|t| t.len() > 60) { Err(wrong()) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::customers::{Definition, Source, Type};

    fn definitions() -> Definitions {
        let seats = Definition {
            key: "seats".into(),
            r#type: Type::Int,
            source: Source::Upload,
            personal: false,
            in_rules: true,
            in_text: false,
        };
        Definitions::from([("seats".to_owned(), seats)])
    }

    #[test]
    fn a_mapping_names_columns_and_what_it_does_not_know_is_refused() {
        let definitions = definitions();
        let said = BTreeMap::from(
            [("Kunde", "external_id"), ("Plätze", "attributes.seats"), ("x", ""), ("y", "height")]
                .map(|(a, b)| (a.to_owned(), b.to_owned())),
        );
        let mapping = Mapping { said: &said, definitions: &definitions };
        let faults: Vec<_> = mapping.faults().into_iter().map(|f| f.field).collect();
        assert_eq!(faults, ["mapping.y"]);
        assert_eq!(mapping.target("Kunde"), Some(Target::ExternalId));
        assert_eq!(mapping.target("email"), Some(Target::Email), "a column may say itself what it is");
        assert_eq!((mapping.target("x"), mapping.target("whatever")), (None, None));
    }

    #[test]
    fn cells_are_read_as_their_types_and_empty_ones_say_nothing() {
        let (definitions, said) = (definitions(), BTreeMap::new());
        let mapping = Mapping { said: &said, definitions: &definitions };
        let seats = |v: Value| (Target::Attribute("seats".into()), v);
        let row = vec![(Target::ExternalId, json!("c-1")), (Target::Name, json!(" ")), seats(json!("12"))];
        let (read, wrong) = mapping.read(row);
        assert_eq!((wrong, read.name, &read.attributes["seats"]), (vec![], None, &json!(12)));
        let (read, _) = mapping.read(vec![(Target::ExternalId, json!(7)), seats(json!("many"))]);
        assert_eq!((read.external_id.as_str(), &read.attributes["seats"]), ("7", &json!("many")));
        let (_, wrong) = mapping.read(vec![(Target::Tags, json!([1]))]);
        let codes: Vec<_> = wrong.into_iter().map(|w| (w.field, w.code)).collect();
        assert_eq!(codes, [("tags".into(), "wrong_type".into()), ("external_id".into(), "required".into())]);
    }
}
