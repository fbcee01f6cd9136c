//! Texts of steps: which values they name as `{{key}}`, and that every one of them is declared.

use kit::FieldError;
use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

/// The values there are. `name` and `company` are filled in when the mail is sent.
pub const KEYS: [&str; 7] = ["name", "company", "amount_due", "plan", "failed_at", "offer", "terms"];

/// A value that texts may name, and what stands there when it is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub key: String,
    pub fallback: LocalText,
}

/// What is wrong with the declared variables.
pub fn faults(variables: &[Variable]) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    for (n, variable) in variables.iter().enumerate() {
        let path = format!("variables[{n}]");
        if !KEYS.contains(&variable.key.as_str()) {
            let text = format!("one of {} is wanted", KEYS.join(", "));
            wrong.push(FieldError::new(format!("{path}.key"), "unknown_variable", text));
        }
        if variables[..n].iter().any(|v| v.key == variable.key) {
            wrong.push(FieldError::new(format!("{path}.key"), "duplicate", "it is declared already"));
        }
        if !variable.fallback.has_default() {
            let text = "the text of the default locale is missing";
            wrong.push(FieldError::new(format!("{path}.fallback"), "default_missing", text));
        }
    }
    wrong
}

/// What is wrong with a text: a default that is missing, a brace that is not closed, a name nobody declared.
pub fn check(path: &str, text: &LocalText, variables: &[Variable]) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    if !text.has_default() {
        wrong.push(FieldError::new(path, "default_missing", "the text of the default locale is missing"));
    }
    for (locale, words) in &text.texts {
        match names(words) {
            None => wrong.push(FieldError::new(
                path,
                "open_placeholder",
                format!("{locale}: a {{{{ is not closed"),
            )),
            Some(names) => {
                let unknown = names.into_iter().filter(|n| !variables.iter().any(|v| v.key == *n));
                wrong.extend(unknown.map(|name| {
                    let text = format!("{locale}: {name} is not among the plan's variables");
                    FieldError::new(path, "unknown_variable", text)
                }));
            }
        }
    }
    wrong
}

/// The names in a text; none where one is not closed.
fn names(text: &str) -> Option<Vec<&str>> {
    let mut pieces = text.split("{{");
    pieces.next();
    pieces.map(|piece| piece.split_once("}}").map(|(name, _)| name.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_names_only_what_is_declared() {
        let declared = [Variable { key: "name".into(), fallback: LocalText::of("en", "customer") }];
        let check = |text: &str| super::check("body", &LocalText::of("en", text), &declared);
        assert_eq!(check("Dear {{ name }}, {{name}}!"), []);
        assert_eq!(check("Pay {{amount_due}}")[0].code, "unknown_variable");
        assert_eq!(check("Dear {{name")[0].code, "open_placeholder");
        assert_eq!(check("")[0].code, "default_missing");
        let odd = Variable { key: "iban".into(), fallback: LocalText::default() };
        assert_eq!(faults(&[declared[0].clone(), declared[0].clone(), odd]).len(), 3);
    }
}
