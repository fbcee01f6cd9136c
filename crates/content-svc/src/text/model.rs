//! Checks of texts, and what checks say.

use std::collections::HashSet;

use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

/// How a value is written for its reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Text,
    Number,
    /// Minor units in the customer's currency.
    Money,
    /// 0.25 reads 25 %.
    Percent,
    Date,
}

/// A name that texts may hold as `{{key}}`, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub key: String,
    /// The customer's attribute or fact.
    pub attribute: String,
    #[serde(default)]
    pub format: Format,
    /// What stands there when nothing is known.
    pub fallback: LocalText,
}

/// Whether a finding stops publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
}

/// Something a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// Stable slug.
    pub code: &'static str,
    /// Where, as a path.
    pub field: String,
    pub message: String,
}

impl Finding {
    /// The same, found within a field.
    #[must_use]
    pub fn placed(self, within: &str) -> Self {
        Self { field: format!("{within}.{}", self.field), ..self }
    }
}

/// Everything the checks of one piece of content found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Notes what stops publishing.
    pub fn error(&mut self, code: &'static str, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { level: Level::Error, code, field: field.into(), message: message.into() });
    }

    /// Notes what a person should know and may accept.
    pub fn warning(&mut self, code: &'static str, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding { level: Level::Warning, code, field: field.into(), message: message.into() });
    }

    /// Notes what another check found.
    pub fn note(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|f| f.level == Level::Error)
    }

    pub fn has(&self, code: &str) -> bool {
        self.0.iter().any(|f| f.code == code)
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Errors first.
    pub fn into_vec(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|f| f.level);
        self.0
    }
}

/// Checks the texts of one piece of content, one after the other.
pub struct TextCheck<'a> {
    locales: &'a [String],
    declared: HashSet<&'a str>,
    pub findings: Findings,
}

impl<'a> TextCheck<'a> {
    /// `locales`: the languages every text should be there in; `variables`: the names texts may hold.
    pub fn new(locales: &'a [String], variables: &'a [Variable]) -> Self {
        let mut findings = Findings::default();
        let mut declared = HashSet::new();
        for v in variables {
            if !declared.insert(v.key.as_str()) {
                findings.error("duplicate_variable", "variables", format!("{} is declared twice", v.key));
            }
        }
        let mut check = Self { locales, declared: HashSet::new(), findings };
        for v in variables {
            // A fallback stands for a value: it holds no names itself.
            check.text(&format!("variables[{}].fallback", v.key), &v.fallback);
        }
        check.declared = declared;
        check
    }

    /// Checks one text: the default is there, no language is missing, only declared names stand in it.
    pub fn text(&mut self, field: &str, text: &LocalText) {
        if !text.has_default() {
            let locale = &text.default_locale;
            let message = format!("the text of the default locale {locale} is missing");
            self.findings.error("default_text_missing", field, message);
        }
        for locale in self.locales {
            if !text.covers(locale) {
                self.findings.warning("translation_missing", field, format!("there is no text for {locale}"));
            }
        }
        for (locale, words) in &text.texts {
            let names = placeholders(words);
            let Ok(names) = names else {
                self.findings.error("broken_placeholder", field, format!("{locale}: a {{{{ is not closed"));
                continue;
            };
            for name in names {
                if !self.declared.contains(name) {
                    self.findings.error(
                        "unknown_variable",
                        field,
                        format!("{locale}: {name} is not declared"),
                    );
                }
            }
        }
    }
}

/// An opening `{{` without its `}}`.
#[derive(Debug, PartialEq, Eq)]
pub struct NotClosed;

/// The names a text holds as `{{name}}`, in order.
pub fn placeholders(text: &str) -> Result<Vec<&str>, NotClosed> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let inside = &rest[at + 2..];
        let end = inside.find("}}").ok_or(NotClosed)?;
        names.push(inside[..end].trim());
        rest = &inside[end + 2..];
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(key: &str) -> Variable {
        Variable {
            key: key.into(),
            attribute: key.into(),
            format: Format::Text,
            fallback: LocalText::of("en", "some"),
        }
    }

    fn findings(text: &LocalText, locales: &[&str], variables: &[Variable]) -> Findings {
        let locales: Vec<String> = locales.iter().map(|l| (*l).to_owned()).collect();
        let mut check = TextCheck::new(&locales, variables);
        check.text("t", text);
        check.findings
    }

    #[test]
    fn names_are_read_out_of_a_text() {
        assert_eq!(placeholders("{{a}} and {{ b }}"), Ok(vec!["a", "b"]));
        assert_eq!(placeholders("no name"), Ok(vec![]));
        assert_eq!(placeholders("{{a"), Err(NotClosed));
    }

    #[test]
    fn a_name_nobody_declared_and_an_open_brace_are_errors() {
        let text = LocalText::of("en", "{{months}} months");
        assert!(findings(&text, &["en"], &[]).has("unknown_variable"));
        assert!(!findings(&text, &["en"], &[variable("months")]).has_errors());
        assert!(findings(&LocalText::of("en", "{{months"), &[], &[]).has("broken_placeholder"));
    }

    #[test]
    fn a_missing_language_is_a_warning_and_a_missing_default_an_error() {
        let text = LocalText::of("en", "Stay");
        let found = findings(&text, &["en", "de"], &[]);
        assert!(found.has("translation_missing") && !found.has_errors());
        let empty = LocalText { default_locale: "en".into(), ..LocalText::default() };
        assert!(findings(&empty, &[], &[]).has("default_text_missing"));
    }
}
