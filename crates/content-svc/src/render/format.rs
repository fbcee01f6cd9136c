//! Values and names in texts, as their reader writes them.

use std::collections::BTreeMap;

use kit::locale::LocalText;
use kit::{Currency, Money, Timestamp};

use super::words::{direction, language};
use crate::rule::Value;
use crate::text::{Format, Variable};

/// Puts values in the place of `{{names}}`; a value that is not known is its fallback.
pub fn fill(
    text: &LocalText,
    locale: &str,
    variables: &[Variable],
    facts: &BTreeMap<String, Value>,
) -> String {
    let (mut filled, mut rest) = (String::new(), text.get(locale));
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        filled.push_str(before);
        if let Some(variable) = variables.iter().find(|v| v.key == name.trim()) {
            let known = facts.get(&variable.attribute);
            let written = known.and_then(|v| value(v, variable.format, locale, facts));
            let written = written.unwrap_or_else(|| variable.fallback.get(locale).to_owned());
            // Numbers and names from the left keep their own order in a text from the right, and leave it its.
            if direction(locale) == "rtl" {
                filled.extend(['\u{2068}'].into_iter().chain(written.chars()).chain(['\u{2069}']));
            } else {
                filled.push_str(&written);
            }
        }
        rest = behind;
    }
    filled + rest
}

/// A value as its reader writes it; none when it is not of the format's kind.
pub fn value(value: &Value, format: Format, locale: &str, facts: &BTreeMap<String, Value>) -> Option<String> {
    let german = language(locale) == "de";
    match (format, value) {
        (Format::Text, Value::Text(text)) => Some(text.clone()).filter(|t| !t.is_empty()),
        (Format::Text | Format::Number, Value::Number(n)) => Some(number(*n, german)),
        (Format::Text, Value::Bool(b)) => Some(b.to_string()),
        (Format::Money, Value::Number(minor)) => {
            let Some(Value::Text(currency)) = facts.get("currency") else { return None };
            #[expect(clippy::cast_possible_truncation, reason = "whole minor units far below 2^53")]
            Some(money(Money::new(minor.round() as i64, Currency::parse(currency)?), german))
        }
        (Format::Percent, Value::Number(n)) => {
            Some(format!("{} %", number((n * 1000.0).round() / 10.0, german)))
        }
        (Format::Date, Value::Text(text)) => date(text, language(locale)),
        _ => None,
    }
}

fn number(n: f64, german: bool) -> String {
    let text = if n.fract() == 0.0 { format!("{n:.0}") } else { format!("{n}") };
    if german { text.replace('.', ",") } else { text }
}

fn money(amount: Money, german: bool) -> String {
    let text = amount.to_string();
    if german { text.replace('.', ",") } else { text }
}

const ARABIC_MONTHS: [&str; 12] = [
    "يناير",
    "فبراير",
    "مارس",
    "أبريل",
    "مايو",
    "يونيو",
    "يوليو",
    "أغسطس",
    "سبتمبر",
    "أكتوبر",
    "نوفمبر",
    "ديسمبر",
];

fn date(text: &str, language: &str) -> Option<String> {
    let day = match text.parse::<Timestamp>() {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::UTC).date(),
        Err(_) => text.parse().ok()?,
    };
    let month = usize::try_from(day.month() - 1).ok().and_then(|m| ARABIC_MONTHS.get(m));
    Some(match (language, month) {
        ("de", _) => day.strftime("%-d.%-m.%Y").to_string(),
        ("ar", Some(month)) => format!("{} {month} {}", day.day(), day.year()),
        _ => day.strftime("%B %-d, %Y").to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_their_reader() {
        let facts = BTreeMap::from([
            ("currency".to_owned(), Value::Text("USD".into())),
            ("price".to_owned(), Value::Number(2985.0)),
            ("tenure_months".to_owned(), Value::Number(34.0)),
            ("period_end".to_owned(), Value::Text("2026-12-01T10:00:00Z".into())),
        ]);
        let of = |key: &str, format| Variable {
            key: key.into(),
            attribute: key.into(),
            format,
            fallback: LocalText::of("en", "some time"),
        };
        let variables =
            [of("tenure_months", Format::Number), of("price", Format::Money), of("period_end", Format::Date)];
        let say = |text: &str, locale: &str| fill(&LocalText::of("en", text), locale, &variables, &facts);
        assert_eq!(say("{{tenure_months}} months for {{ price }}", "en"), "34 months for 29.85 USD");
        assert_eq!(say("bis {{period_end}}", "de-AT"), "bis 1.12.2026");
        assert_eq!(say("until {{period_end}}", "en-US"), "until December 1, 2026");
        assert_eq!(say("حتى {{period_end}}", "ar"), "حتى \u{2068}1 ديسمبر 2026\u{2069}");
        let unknown = fill(&LocalText::of("en", "{{price}}!"), "en", &variables, &BTreeMap::new());
        assert_eq!(unknown, "some time!");
    }
}
