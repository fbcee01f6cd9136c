//! An entry and where it stands.

use kit::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Customer,
    Subscription,
    Payment,
    Offer,
    Flow,
    Ticket,
    Mail,
    Upload,
    Persona,
    Tag,
    Merge,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Subscription => "subscription",
            Self::Payment => "payment",
            Self::Offer => "offer",
            Self::Flow => "flow",
            Self::Ticket => "ticket",
            Self::Mail => "mail",
            Self::Upload => "upload",
            Self::Persona => "persona",
            Self::Tag => "tag",
            Self::Merge => "merge",
        }
    }
}

/// What is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub customer_id: String,
    pub kind: Kind,
    /// The event's type, such as `subscription.changed`.
    pub r#type: String,
    pub subject: String,
    pub details: Map<String, Value>,
    #[serde(with = "store::time")]
    pub occurred_at: Timestamp,
    /// When it goes.
    #[serde(with = "store::time")]
    pub forget_at: Timestamp,
}

/// What an event tells of one customer.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub event: String,
    pub sequence: i64,
    pub customer_id: String,
    pub kind: Kind,
    pub r#type: String,
    pub subject: String,
    pub details: Map<String, Value>,
    pub occurred_at: Timestamp,
}

impl Told {
    /// The id of its entry: sorts by when it happened, then by the event's place within its subject; the same event makes
    /// the same id.
    pub fn id(&self) -> String {
        let ms = self.occurred_at.as_millisecond().max(0);
        format!("tml_{ms:012x}{:08x}_{}_{}", self.sequence.max(0), self.event, self.customer_id)
    }

    pub fn entry(self, keep_days: i64) -> Entry {
        let Self { customer_id, kind, r#type, subject, details, occurred_at, .. } = self;
        let forget_at = kit::time::add_days(occurred_at, keep_days);
        Entry { customer_id, kind, r#type, subject, details, occurred_at, forget_at }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(ms: i64, sequence: i64, event: &str) -> Told {
        Told {
            event: event.into(),
            sequence,
            customer_id: "cus_1".into(),
            kind: Kind::Flow,
            r#type: "flow.session.saved".into(),
            subject: "fls_1".into(),
            details: Map::new(),
            occurred_at: Timestamp::from_millisecond(ms).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn ids_sort_by_time_and_then_by_sequence(a in (0_i64..4_000_000_000_000, 0_i64..100_000), b in (0_i64..4_000_000_000_000, 0_i64..100_000)) {
            let (one, other) = (told(a.0, a.1, "evt_z"), told(b.0, b.1, "evt_a"));
            prop_assert_eq!(one.id().cmp(&other.id()), a.cmp(&b).then("evt_z".cmp("evt_a")));
            prop_assert_eq!(one.id(), told(a.0, a.1, "evt_z").id(), "the same event makes the same entry");
        }
    }
}
