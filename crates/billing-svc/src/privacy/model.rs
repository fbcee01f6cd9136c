//! A request and its way (§10.12): `received → verified → running → partly_held | completed* | refused*`; what was held
//! by law is completed when the last of it is let go.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kit::Timestamp;
use personal::{Held, Part, Whose};
use serde::{Deserialize, Serialize};

/// Who must answer. A service that keeps nothing of customers says so.
pub const SERVICES: [&str; 5] = ["billing-svc", "content-svc", "analytics-svc", "notify-svc", "identity-svc"];
/// Within how many days the law wants it done.
pub const DUE_DAYS: i64 = 30;
/// How long the file of a request for access can be fetched.
pub const FILE_DAYS: i64 = 7;
/// After how long whoever is silent is asked again, at first; each time twice as long.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);
/// The longest pause between two askings.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Access,
    Erasure,
    Restriction,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        self.order().as_str()
    }

    /// What the services are asked to do.
    pub fn order(self) -> personal::Kind {
        match self {
            Self::Access => personal::Kind::Access,
            Self::Erasure => personal::Kind::Erasure,
            Self::Restriction => personal::Kind::Restriction,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Received,
    Verified,
    Running,
    PartlyHeld,
    Completed,
    Refused,
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Verified, Self::Running, Self::PartlyHeld, Self::Completed, Self::Refused];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Verified => "verified",
            Self::Running => "running",
            Self::PartlyHeld => "partly_held",
            Self::Completed => "completed",
            Self::Refused => "refused",
        }
    }

    /// §10.12.
    pub fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Received, Self::Verified | Self::Refused)
                | (Self::Verified, Self::Running | Self::Refused)
                | (Self::Running, Self::PartlyHeld | Self::Completed)
                | (Self::PartlyHeld, Self::Completed)
        )
    }
}

/// What one service answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    #[serde(with = "store::time")]
    pub answered_at: Timestamp,
    /// A later one takes the place of an earlier one.
    pub sequence: i64,
    pub part: Part,
}

/// One asking of all services.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    pub order: personal::Kind,
    /// Of whom it is asked: kept until everybody has answered, as nobody knows it after an erasure.
    pub whose: Whose,
    /// By service.
    pub receipts: BTreeMap<String, Receipt>,
    /// When whoever is silent is asked again; none when nobody is.
    #[serde(with = "store::time::option", default)]
    pub ask_at: Option<Timestamp>,
    pub asked: u32,
}

impl Round {
    fn begun(order: personal::Kind, whose: Whose, now: Timestamp) -> Self {
        let ask_at = now.checked_add(PATIENCE).ok();
        Self { order, whose, receipts: BTreeMap::new(), ask_at, asked: 1 }
    }

    pub fn missing(&self) -> Vec<&'static str> {
        SERVICES.into_iter().filter(|s| !self.receipts.contains_key(*s)).collect()
    }

    /// Asked once more; the next pause is twice as long.
    fn again(&self, now: Timestamp) -> Self {
        let factor = 1_i32.checked_shl(self.asked.min(10)).unwrap_or(i32::MAX);
        let pause = PATIENCE.checked_mul(factor).unwrap_or(LONGEST).min(LONGEST);
        Self { ask_at: now.checked_add(pause).ok(), asked: self.asked.saturating_add(1), ..self.clone() }
    }

    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.receipts.values().flat_map(|r| &r.part.held)
    }
}

/// A privacy request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub kind: Kind,
    pub customer_id: String,
    pub state: State,
    /// Customer and kind while there is to be no second one: an erasure for good, a restriction until it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    pub asked_by: String,
    pub verification: String,
    pub verified_by: String,
    #[serde(with = "store::time::option", default)]
    pub verified_at: Option<Timestamp>,
    pub note: String,
    pub reason: String,
    #[serde(with = "store::time")]
    pub received_at: Timestamp,
    #[serde(with = "store::time")]
    pub due_at: Timestamp,
    #[serde(with = "store::time::option", default)]
    pub completed_at: Option<Timestamp>,
    /// The asking that is under way, or was the last.
    #[serde(default)]
    pub round: Option<Round>,
    #[serde(with = "store::time::option", default)]
    pub lifted_at: Option<Timestamp>,
}

/// Why a request does not go this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request that is {} cannot be {wanted}", .state.as_str())]
pub struct NoWay {
    pub state: State,
    pub wanted: &'static str,
}

impl Request {
    pub fn received(kind: Kind, customer_id: &str, asked_by: &str, note: &str, now: Timestamp) -> Self {
        Self {
            kind,
            customer_id: customer_id.to_owned(),
            state: State::Received,
            place: Some(place(customer_id, kind)),
            asked_by: asked_by.to_owned(),
            verification: String::new(),
            verified_by: String::new(),
            verified_at: None,
            note: note.to_owned(),
            reason: String::new(),
            received_at: now,
            due_at: kit::time::add_days(now, DUE_DAYS),
            completed_at: None,
            round: None,
            lifted_at: None,
        }
    }

    fn to(&self, state: State) -> Result<Self, NoWay> {
        if self.state.leads_to(state) {
            return Ok(Self { state, ..self.clone() });
        }
        Err(NoWay { state: self.state, wanted: state.as_str() })
    }

    /// Somebody attests who asked.
    pub fn verified(&self, verification: &str, by: &str, now: Timestamp) -> Result<Self, NoWay> {
        let verified = self.to(State::Verified)?;
        Ok(Self {
            verification: verification.to_owned(),
            verified_by: by.to_owned(),
            verified_at: Some(now),
            ..verified
        })
    }

    /// All services are asked.
    pub fn begun(&self, whose: Whose, now: Timestamp) -> Result<Self, NoWay> {
        let running = self.to(State::Running)?;
        Ok(Self { round: Some(Round::begun(self.kind.order(), whose, now)), ..running })
    }

    pub fn refused(&self, reason: &str, now: Timestamp) -> Result<Self, NoWay> {
        let refused = self.to(State::Refused)?;
        Ok(Self { reason: reason.to_owned(), completed_at: Some(now), place: None, ..refused })
    }

    /// The services are asked to use the data again.
    pub fn lifting(&self, whose: Whose, now: Timestamp) -> Result<Self, NoWay> {
        if self.kind != Kind::Restriction || self.state != State::Completed {
            return Err(NoWay { state: self.state, wanted: "lifted" });
        }
        Ok(Self { round: Some(Round::begun(personal::Kind::Lift, whose, now)), ..self.clone() })
    }

    pub fn is_lifting(&self) -> bool {
        self.round.as_ref().is_some_and(|r| r.order == personal::Kind::Lift)
    }

    /// Whoever is silent is asked once more.
    pub fn asked_again(&self, now: Timestamp) -> Self {
        Self { round: self.round.as_ref().map(|r| r.again(now)), ..self.clone() }
    }

    /// With a service's receipt; the same, or an older one, changes nothing. Nor does one of another asking, or of
    /// nobody who was asked.
    pub fn answered(
        &self,
        service: &str,
        order: personal::Kind,
        receipt: Receipt,
        now: Timestamp,
    ) -> Option<Self> {
        let mut round = self.round.clone().filter(|r| r.order == order)?;
        let known = round.receipts.get(service);
        if !SERVICES.contains(&service) || known.is_some_and(|k| k.sequence >= receipt.sequence) {
            return None;
        }
        round.receipts.insert(service.to_owned(), receipt);
        let all = round.missing().is_empty();
        if all {
            round.ask_at = None;
            round.whose = Whose::default();
        }
        let holds = round.held().next().is_some();
        let next = Self { round: Some(round), ..self.clone() };
        Some(match (all, self.state) {
            (true, State::Running | State::PartlyHeld) => next.settled(holds, now),
            (true, State::Completed) if order == personal::Kind::Lift && self.lifted_at.is_none() => {
                Self { lifted_at: Some(now), place: None, ..next }
            }
            _ => next,
        })
    }

    /// Everybody has answered.
    fn settled(self, holds: bool, now: Timestamp) -> Self {
        let state = if holds { State::PartlyHeld } else { State::Completed };
        let place = self.place.clone().filter(|_| self.kind != Kind::Access);
        // What somebody noted may name whom nothing is left of.
        let note = if self.kind == Kind::Erasure { String::new() } else { self.note.clone() };
        let completed_at = (!holds).then_some(now);
        Self { state, place, note, completed_at, ..self }
    }

    /// Whether everybody has done their part, held or not.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::PartlyHeld | State::Completed)
    }

    pub fn held_until(&self) -> Option<Timestamp> {
        self.round.as_ref().and_then(|r| r.held().map(|h| h.until).max())
    }

    /// Until when its file can be had.
    pub fn file_until(&self) -> Option<Timestamp> {
        let at = self.completed_at.filter(|_| self.kind == Kind::Access && self.state == State::Completed)?;
        Some(kit::time::add_days(at, FILE_DAYS))
    }

    pub fn has_file(&self, now: Timestamp) -> bool {
        self.file_until().is_some_and(|until| now < until)
    }
}

/// Customer and kind.
pub fn place(customer_id: &str, kind: Kind) -> String {
    format!("{customer_id}/{}", kind.as_str())
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
