//! Ids: time-ordered and prefixed by kind (`cus_01975b2c…`), so that a list by id is a list by age and a stray id
//! says what it names.

use uuid::Uuid;

/// A new id of the given kind: the prefix, an underscore and a version 7 UUID without hyphens.
pub fn new(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::now_v7().simple())
}

/// Whether `text` has the shape of an id with this prefix.
pub fn is(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('_'))
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Declares an id type that knows its prefix: `id!(pub OfferId, "off");`.
///
/// The type stores, serialises and prints as text; `new()` makes a fresh one and `parse` refuses another kind's id.
#[macro_export]
macro_rules! id {
    ($(#[$doc:meta])* $vis:vis $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        $vis struct $name(String);

        impl $name {
            /// What every id of this kind starts with, without the underscore.
            #[allow(dead_code, reason = "not every id's prefix is asked for")]
            pub const PREFIX: &'static str = $prefix;

            /// A fresh id, later in order than every earlier one of this process.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self($crate::id::new($prefix))
            }

            /// Reads an id of this kind; another kind's, or any other text, is none.
            pub fn parse(text: &str) -> Option<Self> {
                $crate::id::is($prefix, text).then(|| Self(text.to_owned()))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

#[cfg(test)]
mod tests {
    crate::id!(OfferId, "off");

    #[test]
    fn an_id_knows_its_kind_and_its_age() {
        let (first, second) = (OfferId::new(), OfferId::new());
        assert!(first < second);
        assert_eq!(OfferId::parse(first.as_str()), Some(first));
        assert_eq!(OfferId::parse("cus_01975b2c000070008000000000000000"), None);
        assert_eq!(OfferId::parse("off_../../etc/passwd"), None);
    }
}
