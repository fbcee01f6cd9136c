//! Texts that a company wrote for its customers, with `{{names}}` in them: written out for their reader right before
//! the mail goes. What a name stands for is text, never a template of its own.

use kit::locale::LocalText;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A text as it was asked for.
#[derive(Deserialize)]
struct Text {
    subject: LocalText,
    body: LocalText,
    #[serde(default)]
    fallbacks: Map<String, Value>,
}

/// Writes out what the values hold as texts in several languages: the company's own `text` becomes `subject` and
/// `paragraphs`.
pub fn write_out(values: &mut Value, locale: &str) {
    let Some(known) = values.as_object_mut() else { return };
    for value in known.values_mut() {
        if let Ok(text) = LocalText::deserialize(&*value) {
            *value = text.get(locale).into();
        }
    }
    let Some(text) = known.get("text").and_then(|text| Text::deserialize(text).ok()) else { return };
    let fallback = |name: &str| LocalText::deserialize(text.fallbacks.get(name)?).ok();
    let value = |name: &str| {
        let known = known.get(name).and_then(Value::as_str).filter(|v| !v.is_empty()).map(str::to_owned);
        known.or_else(|| fallback(name).map(|f| f.get(locale).to_owned())).unwrap_or_default()
    };
    let subject = fill(text.subject.get(locale), value);
    let body = fill(text.body.get(locale), value);
    let paragraphs = body.replace("\r\n", "\n");
    let paragraphs = paragraphs.split("\n\n").map(str::trim).filter(|p| !p.is_empty());
    let paragraphs: Vec<_> = paragraphs.map(|p| Value::from(p.replace('\n', " "))).collect();
    known.remove("text");
    known.insert("subject".into(), subject.into());
    known.insert("paragraphs".into(), paragraphs.into());
}

/// Puts values in the place of `{{names}}`.
pub fn fill(text: &str, value: impl Fn(&str) -> String) -> String {
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        filled.push_str(before);
        filled.push_str(&value(name.trim()));
        rest = behind;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_written_out_in_the_reader_s_language_with_what_is_known() {
        let of = |en: &str, de: &str| json!({ "default_locale": "en", "texts": { "en": en, "de": de } });
        let asked = json!({
            "name": "", "amount_due": "29.85 USD", "terms": of("20 % off", "20 % weniger"),
            "text": {
                "subject": of("{{amount_due}} is open", "{{ amount_due }} ist offen"),
                "body": of("Dear {{name}},\n\npay\nsoon: {{terms}}", "Guten Tag {{name}},\n\n{{terms}} {{nobody}}."),
                "fallbacks": { "name": of("customer", "Kunde") },
            },
        });
        let write = |locale: &str| {
            let mut values = asked.clone();
            write_out(&mut values, locale);
            (values["subject"].clone(), values["paragraphs"].clone())
        };
        assert_eq!(
            write("fr"),
            (json!("29.85 USD is open"), json!(["Dear customer,", "pay soon: 20 % off"]))
        );
        assert_eq!(
            write("de-AT"),
            (json!("29.85 USD ist offen"), json!(["Guten Tag Kunde,", "20 % weniger ."]))
        );
        let mut braces = json!({ "name": "{{amount_due}}", "text": {
            "subject": of("{{name}}", ""), "body": of("{% for x in y %}", ""), "fallbacks": {} } });
        write_out(&mut braces, "en");
        assert_eq!(braces["subject"], "{{amount_due}}", "a value is no template");
    }
}
