//! Personas, their states and their order, and which of them take a customer.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::rules::{self, EventCounts, Facts, Rule};

/// How often a persona is refreshed where nobody said.
pub const REFRESH_HOURS: u32 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    Active,
    Disabled,
    Archived,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Archived => "archived",
        }
    }
}

/// What may be offered to members at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardRails {
    /// 0 stands for no limit.
    pub max_discount_percent: u32,
    /// Empty stands for every kind.
    pub allowed_offer_kinds: Vec<String>,
}

/// A segment of customers with a name people use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Persona {
    pub name: String,
    pub description: String,
    #[serde(default)]
    pub category: Option<String>,
    pub rule: Rule,
    /// The lowest is the strongest.
    pub priority: i32,
    pub status: Status,
    pub guard_rails: GuardRails,
    pub refresh_hours: u32,
}

/// How a persona stood after its last refresh. Kept apart, so that a refresh does not make a draft under edit stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub size: u64,
    #[serde(default, with = "store::time::option")]
    pub refreshed_at: Option<Timestamp>,
}

/// One full refresh, as it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    pub customers: u64,
    pub personas: Vec<Tally>,
}

/// What a refresh did to one persona.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub persona: String,
    pub name: String,
    pub members: u64,
    pub entered: u64,
    pub left: u64,
}

/// What to change; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct Change {
    pub name: Option<String>,
    pub description: Option<String>,
    /// An empty id takes it out of its category.
    pub category: Option<String>,
    pub rule: Option<Rule>,
    pub guard_rails: Option<GuardRails>,
    pub refresh_hours: Option<u32>,
}

impl Persona {
    pub fn apply(&mut self, change: Change) -> Result<(), Error> {
        if self.status == Status::Archived {
            return Err(Error::PersonaState("an archived persona does not change"));
        }
        let Change { name, description, category, rule, guard_rails, refresh_hours } = change;
        self.name = name.unwrap_or_else(|| self.name.clone());
        self.description = description.unwrap_or_else(|| self.description.clone());
        if let Some(category) = category {
            self.category = Some(category).filter(|c| !c.is_empty());
        }
        if let Some(rule) = rule {
            rule.check().map_err(Error::rule)?;
            self.rule = rule;
        }
        self.guard_rails = guard_rails.unwrap_or_else(|| self.guard_rails.clone());
        self.refresh_hours = refresh_hours.unwrap_or(self.refresh_hours);
        Ok(())
    }

    /// `draft → active ⇄ disabled → archived`, and a draft nobody wants may go the short way. Whether it moved: asking
    /// for the state it is in is no error.
    pub fn enter(&mut self, status: Status) -> Result<bool, Error> {
        use Status::{Active, Archived, Disabled, Draft};
        if self.status == status {
            return Ok(false);
        }
        match (self.status, status) {
            (Draft | Disabled, Active | Archived) | (Active, Disabled) => {
                self.status = status;
                Ok(true)
            }
            (Active, Archived) => Err(Error::PersonaState("disable the persona before archiving it")),
            (Archived, _) => Err(Error::PersonaState("an archived persona does not come back")),
            _ => Err(Error::PersonaState("the persona's state does not allow it")),
        }
    }
}

/// A branch of the tree personas are sorted into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Category {
    pub name: String,
    #[serde(default)]
    pub parent: Option<String>,
    pub order: i32,
    /// A customer is in at most one persona of it.
    pub exclusive: bool,
    pub colour: String,
    #[serde(default)]
    pub archived: bool,
}

/// One active persona, as far as deciding needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seat {
    pub id: String,
    pub name: String,
    pub priority: i32,
    pub rule: Rule,
    /// The exclusive category it is in, if it is in one.
    pub exclusive: Option<String>,
    pub guard_rails: GuardRails,
}

/// The active personas of a company, strongest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Board {
    pub seats: Vec<Seat>,
}

impl Board {
    pub fn new(mut seats: Vec<Seat>) -> Self {
        seats.sort_by(|a, b| (a.priority, &a.id).cmp(&(b.priority, &b.id)));
        Self { seats }
    }

    pub fn get(&self, id: &str) -> Option<&Seat> {
        self.seats.iter().find(|s| s.id == id)
    }

    /// The personas that take a customer, with why; of an exclusive category only the strongest.
    pub fn matched(&self, facts: &Facts, events: &EventCounts) -> Vec<(String, String)> {
        let mut taken: Vec<&str> = Vec::new();
        let mut matched = Vec::new();
        for seat in &self.seats {
            if seat.exclusive.as_deref().is_some_and(|c| taken.contains(&c)) {
                continue;
            }
            if let Some(why) = rules::explain(&seat.rule, facts, events) {
                taken.extend(seat.exclusive.as_deref());
                matched.push((seat.id.clone(), why));
            }
        }
        matched
    }

    /// Every count of events the rules ask for.
    pub fn event_windows(&self) -> Vec<(String, u32)> {
        let all: std::collections::BTreeSet<_> =
            self.seats.iter().flat_map(|s| s.rule.event_windows()).collect();
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(id: &str, priority: i32, exclusive: Option<&str>) -> Seat {
        Seat {
            id: id.into(),
            name: id.into(),
            priority,
            rule: Rule::All(Vec::new()),
            exclusive: exclusive.map(Into::into),
            guard_rails: GuardRails::default(),
        }
    }

    #[test]
    fn of_an_exclusive_category_the_strongest_takes_the_customer() {
        let board = Board::new(vec![
            seat("c", 3, Some("x")),
            seat("a", 1, None),
            seat("b", 2, Some("x")),
            seat("d", 4, Some("y")),
        ]);
        let ids: Vec<_> =
            board.matched(&Facts::new(), &EventCounts::new()).into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, ["a", "b", "d"]);
    }

    #[test]
    fn a_persona_moves_only_as_its_states_allow() {
        let mut persona = Persona {
            name: "n".into(),
            description: String::new(),
            category: None,
            rule: Rule::All(Vec::new()),
            priority: 1,
            status: Status::Draft,
            guard_rails: GuardRails::default(),
            refresh_hours: REFRESH_HOURS,
        };
        assert!(persona.enter(Status::Disabled).is_err());
        assert_eq!(persona.enter(Status::Active), Ok(true));
        assert_eq!(persona.enter(Status::Active), Ok(false));
        assert!(persona.enter(Status::Archived).is_err());
        assert_eq!(persona.enter(Status::Disabled), Ok(true));
        assert_eq!(persona.enter(Status::Archived), Ok(true));
        assert!(persona.enter(Status::Active).is_err() && persona.apply(Change::default()).is_err());
    }
}
