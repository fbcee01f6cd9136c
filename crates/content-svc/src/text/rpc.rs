//! Texts, names and findings on the wire.

use kit::Fault;
use kit::locale::LocalText;
use proto::{common, content as pb};

use super::model::{Finding, Findings, Format, Level, Variable};
use crate::wire::{Wire, enum_or, mirror};

/// The longest text of one language, in bytes.
const LONGEST: usize = 20_000;

mirror!(Format => pb::ValueFormat { Text, Number, Money, Percent, Date });

/// Reads a text that must be there.
pub fn text(field: &str, text: Option<common::LocalText>) -> Result<LocalText, Fault> {
    let text = text.ok_or_else(|| Fault::field(field, "required", "a text is required"))?;
    let common::LocalText { default_locale, texts } = text;
    let locales = texts.keys().chain([&default_locale]);
    for locale in locales {
        if !is_locale(locale) {
            return Err(Fault::field(field, "bad_locale", "a locale reads like en, de-AT or zh-Hant-TW"));
        }
    }
    if texts.values().any(|t| t.len() > LONGEST) {
        return Err(Fault::field(field, "too_long", "a text holds at most 20000 bytes"));
    }
    Ok(LocalText { default_locale, texts: texts.into_iter().collect() })
}

/// Reads a text that may be absent.
pub fn maybe_text(field: &str, given: Option<common::LocalText>) -> Result<Option<LocalText>, Fault> {
    given.map(|t| text(field, Some(t))).transpose()
}

/// Refuses locales that are none.
pub fn locales(field: &str, given: Vec<String>) -> Result<Vec<String>, Fault> {
    match given.iter().find(|l| !is_locale(l)) {
        None => Ok(given),
        Some(_) => Err(Fault::field(field, "bad_locale", "a locale reads like en, de-AT or zh-Hant-TW")),
    }
}

fn is_locale(text: &str) -> bool {
    let mut parts = text.split('-');
    let first = parts.next().unwrap_or_default();
    (2..=8).contains(&first.len())
        && first.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Reads the declared names.
pub fn variables(field: &str, given: Vec<pb::Variable>) -> Result<Vec<Variable>, Fault> {
    let read = given.into_iter().enumerate().map(|(i, v)| {
        let pb::Variable { key, attribute, format, fallback } = v;
        let field = format!("{field}[{i}]");
        Ok(Variable {
            attribute: if attribute.is_empty() { key.clone() } else { attribute },
            format: enum_or(format, Format::Text),
            fallback: text(&format!("{field}.fallback"), fallback)?,
            key,
        })
    });
    read.collect()
}

/// Writes a text.
pub fn to_text(text: LocalText) -> common::LocalText {
    let LocalText { default_locale, texts } = text;
    common::LocalText { default_locale, texts: texts.into_iter().collect() }
}

impl From<Variable> for pb::Variable {
    fn from(v: Variable) -> Self {
        let Variable { key, attribute, format, fallback } = v;
        Self { key, attribute, format: format.to_wire(), fallback: Some(to_text(fallback)) }
    }
}

impl From<Finding> for pb::Finding {
    fn from(f: Finding) -> Self {
        let Finding { level, code, field, message } = f;
        let level = match level {
            Level::Error => pb::FindingLevel::Error,
            Level::Warning => pb::FindingLevel::Warning,
        };
        Self { level: level.into(), code: code.into(), field, message }
    }
}

/// Writes what checks found, errors first.
pub fn findings(found: Findings) -> Vec<pb::Finding> {
    found.into_vec().into_iter().map(Into::into).collect()
}
