//! Text that customers read: a map from locale to text, with a fallback chain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Locale → text. `default_locale` says which entry serves when nothing nearer is there; it must be present.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalText {
    pub default_locale: String,
    pub texts: BTreeMap<String, String>,
}

impl LocalText {
    /// Text in one language only.
    pub fn of(locale: &str, text: &str) -> Self {
        let texts = BTreeMap::from([(locale.to_owned(), text.to_owned())]);
        Self { default_locale: locale.to_owned(), texts }
    }

    /// The text for a reader: `de-AT`, then `de`, then the default.
    pub fn get(&self, locale: &str) -> &str {
        chain(locale)
            .find_map(|l| self.texts.get(l))
            .or_else(|| self.texts.get(&self.default_locale))
            .map_or("", String::as_str)
    }

    /// Whether the reader of this locale gets text in the own language, not the default.
    pub fn covers(&self, locale: &str) -> bool {
        chain(locale).any(|l| self.texts.contains_key(l))
    }

    /// Whether the text of the default locale is there.
    pub fn has_default(&self) -> bool {
        self.texts.get(&self.default_locale).is_some_and(|t| !t.is_empty())
    }
}

/// The locale itself, then each shorter form: `zh-Hant-TW`, `zh-Hant`, `zh`.
fn chain(locale: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(locale).filter(|l| !l.is_empty()), |l| l.rfind('-').map(|i| &l[..i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_the_nearest_language() {
        let mut text = LocalText::of("en", "Stay");
        text.texts.insert("de".into(), "Bleib".into());
        assert_eq!(text.get("de-AT"), "Bleib");
        assert_eq!(text.get("fr"), "Stay");
        assert!(text.covers("de-CH") && !text.covers("fr") && text.has_default());
    }
}
