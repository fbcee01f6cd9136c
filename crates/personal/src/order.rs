//! An order and what came of it.

use kit::{Scope, Timestamp};
use serde::{Deserialize, Serialize};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Access,
    Erasure,
    Restriction,
    /// A restriction is over.
    Lift,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Access, Self::Erasure, Self::Restriction, Self::Lift];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Erasure => "erasure",
            Self::Restriction => "restriction",
            Self::Lift => "lift",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// A person, by every id they have with one company.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// The customer first, then the records that became part of it.
    pub customers: Vec<String>,
    /// What the company calls them.
    pub external: Vec<String>,
}

impl Whose {
    /// Every name they may go by in what somebody else sent.
    pub fn names(&self) -> Vec<String> {
        self.customers.iter().chain(&self.external).cloned().collect()
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub request_id: String,
    pub kind: Kind,
    pub scope: Scope,
    pub whose: Whose,
}

/// What was done with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Found,
    Removed,
    /// Its personal fields are empty.
    Emptied,
    /// It stays as it is.
    Kept,
    Restricted,
    Lifted,
}

impl How {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Removed => "removed",
            Self::Emptied => "emptied",
            Self::Kept => "kept",
            Self::Restricted => "restricted",
            Self::Lifted => "lifted",
        }
    }
}

/// Records of one kind and what was done with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub what: String,
    pub how: How,
    pub count: i64,
    /// Why it is kept.
    #[serde(default)]
    pub why: String,
}

impl Done {
    pub fn new(what: impl Into<String>, how: How, count: u64) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        Self { what: what.into(), how, count, why: String::new() }
    }
}

/// Records that a law holds for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub what: String,
    pub count: i64,
    pub why: String,
    #[serde(with = "store::time")]
    pub until: Timestamp,
}

/// One service's part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub done: Vec<Done>,
    pub held: Vec<Held>,
}

impl Part {
    pub fn of(done: Done) -> Self {
        Self { done: vec![done], held: Vec::new() }
    }

    /// With what was done with other records. What found nothing says nothing.
    pub fn beside(mut self, more: Self) -> Self {
        for one in more.done.into_iter().filter(|d| d.count > 0) {
            match self.done.iter_mut().find(|d| d.what == one.what && d.how == one.how) {
                Some(known) => known.count = known.count.saturating_add(one.count),
                None => self.done.push(one),
            }
        }
        self.held.extend(more.held);
        self
    }

    /// With what was done when it was done again. Records that went add up; those that were touched or seen again are the same ones.
    pub fn and(mut self, more: Self) -> Self {
        let Self { done, held } = more;
        for one in done.into_iter().filter(|d| d.count > 0) {
            match self.done.iter_mut().find(|d| d.what == one.what && d.how == one.how) {
                Some(known) if one.how == How::Removed => known.count = known.count.saturating_add(one.count),
                Some(known) => known.count = known.count.max(one.count),
                None => self.done.push(one),
            }
        }
        // What is held is what is held now.
        if !held.is_empty() {
            self.held = held;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doing_it_again_counts_nothing_twice() {
        let part = |removed, emptied| Part {
            done: vec![
                Done::new("user_events", How::Removed, removed),
                Done::new("mails", How::Emptied, emptied),
            ],
            held: Vec::new(),
        };
        let first = part(3, 2);
        assert_eq!(
            first.clone().and(part(0, 2)),
            first,
            "nothing is left to remove, the same mails are there"
        );
        assert_eq!(first.and(part(1, 2)), part(4, 2), "a straggler");
    }

    #[test]
    fn every_kind_is_read_as_it_is_written() {
        assert!(Kind::ALL.into_iter().all(|k| Kind::parse(k.as_str()) == Some(k)));
        assert_eq!(Kind::parse("oblivion"), None);
    }
}
