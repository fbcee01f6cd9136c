//! An event, and what an acceptable one looks like.

use bson::RawDocumentBuf;
use jiff::{SignedDuration, Timestamp};

/// The oldest an event may be when it arrives.
const OLDEST: SignedDuration = SignedDuration::from_hours(24 * 30);
/// How far a sender's clock may run ahead.
const AHEAD: SignedDuration = SignedDuration::from_mins(5);
const MAX_PROPERTIES: usize = 16 * 1024;

/// An event as sent.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    pub id: String,
    pub name: String,
    /// Our id of the customer or the company's own.
    pub customer: String,
    /// None where they cannot be stored (a NUL in a name).
    pub properties: Option<RawDocumentBuf>,
    pub occurred_at: Option<Timestamp>,
    pub source: String,
}

/// An event as kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub id: String,
    pub name: String,
    pub customer: String,
    pub properties: RawDocumentBuf,
    pub occurred_at: Timestamp,
    pub received_at: Timestamp,
    pub source: String,
}

/// What became of one event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Accepted { id: String },
    Duplicate { id: String },
    Rejected { id: String, why: Rejected },
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub field: &'static str,
    pub code: &'static str,
    pub message: &'static str,
}

impl NewEvent {
    /// The event as it will be kept, or what is wrong with it. `spare_id` serves where it has none.
    pub fn accept(
        self,
        now: Timestamp,
        spare_id: impl FnOnce() -> String,
    ) -> Result<Event, (String, Rejected)> {
        if let Some(why) = self.wrong(now) {
            return Err((self.id, why));
        }
        let Self { id, name, customer, properties, occurred_at, source } = self;
        Ok(Event {
            id: if id.is_empty() { spare_id() } else { id },
            name,
            customer,
            properties: properties.unwrap_or_default(),
            occurred_at: occurred_at.unwrap_or(now),
            received_at: now,
            source,
        })
    }

    fn wrong(&self, now: Timestamp) -> Option<Rejected> {
        let no = |field, code, message| Some(Rejected { field, code, message });
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'_' | b'.' | b'-');
        if self.id.len() > 128 {
            return no("id", "too_long", "at most 128 characters");
        }
        if self.name.is_empty() {
            return no("name", "required", "say what happened");
        }
        if self.name.len() > 64 {
            return no("name", "too_long", "at most 64 characters");
        }
        if !self.name.bytes().all(plain) {
            return no("name", "pattern", "lower case letters, digits, `_`, `.` and `-` only");
        }
        if self.customer.is_empty() {
            return no("customer", "required", "say which customer it is about");
        }
        if self.customer.len() > 200 {
            return no("customer", "too_long", "at most 200 characters");
        }
        if self.source.len() > 64 {
            return no("source", "too_long", "at most 64 characters");
        }
        match &self.properties {
            None => return no("properties", "pattern", "names without NUL only"),
            Some(p) if p.as_bytes().len() > MAX_PROPERTIES => {
                return no("properties", "too_large", "at most 16 KiB");
            }
            Some(_) => {}
        }
        let age = now.duration_since(self.occurred_at.unwrap_or(now));
        if age > OLDEST {
            return no("occurred_at", "too_old", "at most 30 days ago");
        }
        if age < -AHEAD {
            return no("occurred_at", "in_future", "at most 5 minutes ahead");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> NewEvent {
        NewEvent {
            id: "e1".into(),
            name: "login".into(),
            customer: "7590-VHVEG".into(),
            properties: Some(RawDocumentBuf::new()),
            occurred_at: None,
            source: String::new(),
        }
    }

    #[test]
    fn each_rule_names_its_field() {
        let now: Timestamp = "2031-04-01T00:00:00Z".parse().unwrap();
        let at = |text: &str| Some(text.parse().unwrap());
        let code = |e: NewEvent| e.accept(now, String::new).map(|_| ()).map_err(|(_, r)| (r.field, r.code));
        assert_eq!(code(event()), Ok(()));
        assert_eq!(code(NewEvent { name: "Log In".into(), ..event() }), Err(("name", "pattern")));
        assert_eq!(code(NewEvent { customer: String::new(), ..event() }), Err(("customer", "required")));
        assert_eq!(code(NewEvent { properties: None, ..event() }), Err(("properties", "pattern")));
        let old = NewEvent { occurred_at: at("2031-03-01T00:00:00Z"), ..event() };
        assert_eq!(code(old), Err(("occurred_at", "too_old")));
        let late = NewEvent { occurred_at: at("2031-03-02T00:00:00Z"), ..event() };
        assert_eq!(code(late), Ok(()));
        let ahead = NewEvent { occurred_at: at("2031-04-01T00:06:00Z"), ..event() };
        assert_eq!(code(ahead), Err(("occurred_at", "in_future")));
    }
}
