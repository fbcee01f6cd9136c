//! Where one customer is reached.

use serde::{Deserialize, Serialize};

/// Everything in it is personal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub email: String,
    pub name: String,
    pub locale: String,
    /// Of the event that said so; an older one changes nothing.
    pub sequence: i64,
    /// Not written to, by a privacy request.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restricted: bool,
}

impl Contact {
    /// What stays of somebody who was erased: that nothing which was said before brings them back.
    pub fn erased() -> Self {
        Self { sequence: i64::MAX, ..Self::default() }
    }

    /// The name as somebody may see it who may not see personal data: `A. L.`.
    pub fn masked(&self) -> String {
        let initials = self.name.split_whitespace().filter_map(|w| w.chars().next());
        let short: Vec<_> = initials.map(|c| format!("{c}.")).collect();
        if short.is_empty() { String::from("a customer") } else { short.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_name_is_its_initials() {
        let of = |name: &str| Contact { name: name.into(), ..Contact::default() }.masked();
        assert_eq!(of("Ada King Lovelace"), "A. K. L.");
        assert_eq!(of(""), "a customer");
    }
}
