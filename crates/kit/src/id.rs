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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_knows_its_kind_and_its_age() {
        let (first, second) = (new("off"), new("off"));
        assert!(first < second);
        assert!(is("off", &first));
        assert!(!is("cus", &first));
        assert!(!is("off", "off_../../etc/passwd"));
    }
}
