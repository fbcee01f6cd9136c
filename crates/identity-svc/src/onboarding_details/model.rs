//! The twelve steps, their states, and what evidence does to them. A step: `locked → available → in_progress →
//! completed | skipped`, and open again when its evidence breaks or a person takes it up again; it is never locked again.

use kit::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The steps, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKey {
    CompanyProfile,
    Intake,
    BillingConnected,
    CustomersSynced,
    TicketingConnected,
    SlackConnected,
    UsageUploaded,
    PersonasDefined,
    ChallengesChosen,
    FlowPublished,
    WidgetVerified,
    GoLive,
}

impl StepKey {
    pub const ALL: [Self; 12] = [
        Self::CompanyProfile,
        Self::Intake,
        Self::BillingConnected,
        Self::CustomersSynced,
        Self::TicketingConnected,
        Self::SlackConnected,
        Self::UsageUploaded,
        Self::PersonasDefined,
        Self::ChallengesChosen,
        Self::FlowPublished,
        Self::WidgetVerified,
        Self::GoLive,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CompanyProfile => "company_profile",
            Self::Intake => "intake",
            Self::BillingConnected => "billing_connected",
            Self::CustomersSynced => "customers_synced",
            Self::TicketingConnected => "ticketing_connected",
            Self::SlackConnected => "slack_connected",
            Self::UsageUploaded => "usage_uploaded",
            Self::PersonasDefined => "personas_defined",
            Self::ChallengesChosen => "challenges_chosen",
            Self::FlowPublished => "flow_published",
            Self::WidgetVerified => "widget_verified",
            Self::GoLive => "go_live",
        }
    }

    /// May be skipped.
    pub fn is_optional(self) -> bool {
        matches!(
            self,
            Self::TicketingConnected | Self::SlackConnected | Self::UsageUploaded | Self::ChallengesChosen
        )
    }

    /// A retention expert may act on it: what the flow says and to whom, not what the company is connected to.
    pub fn is_content(self) -> bool {
        matches!(self, Self::Intake | Self::PersonasDefined | Self::ChallengesChosen | Self::FlowPublished)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Locked,
    Available,
    InProgress,
    Completed,
    Skipped,
}

impl StepState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Available => "available",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
        }
    }

    pub fn is_done(self) -> bool {
        matches!(self, Self::Completed | Self::Skipped)
    }
}

/// Where a company stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    NotStarted,
    InProgress,
    /// All required steps before going live are done.
    Ready,
    /// A signed live session was seen. It stays so, whatever opens again.
    Live,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::InProgress => "in_progress",
            Self::Ready => "ready",
            Self::Live => "live",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub key: StepKey,
    pub state: StepState,
    /// What people entered. Kept as text: its keys are theirs, and may be none the database takes.
    #[serde(with = "text")]
    pub data: Map<String, Value>,
    /// None where evidence did it.
    pub done_by: Option<String>,
    #[serde(default, with = "store::time::option")]
    pub done_at: Option<Timestamp>,
    /// It was done before and is open again.
    pub reopened: bool,
    /// A person took it up again: what was proof then does not close it, only they or new proof do.
    pub held: bool,
}

/// What something that was seen says about a step. The newest word of each source counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub step: StepKey,
    /// What the word is of: a connection, a workflow, the company's record.
    pub source: String,
    /// Such as `connection.changed`.
    pub kind: String,
    /// For people: `stripe`, the id of a workflow.
    pub about: String,
    pub holds: bool,
    /// Rises within a source; of equal ones the later word counts.
    pub sequence: i64,
    #[serde(with = "store::time")]
    pub seen_at: Timestamp,
}

/// The most sources a company's onboarding remembers. Beyond it the oldest that proves nothing goes.
const MOST_PROOFS: usize = 200;
/// The most keys and bytes of what people enter in a step.
const MOST_KEYS: usize = 50;
const MOST_BYTES: usize = 16 * 1024;

/// A company's onboarding. Its id is the company's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onboarding {
    pub company_name: String,
    pub state: State,
    pub steps: Vec<Step>,
    pub proofs: Vec<Proof>,
    /// Fields of the company that are still to be filled in.
    pub missing: Vec<String>,
    pub expert_id: Option<String>,
    #[serde(default, with = "store::time::option")]
    pub live_at: Option<Timestamp>,
}

/// Why a person may not do what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Locked,
    EvidenceMissing,
    Required,
    WrongState,
    TooMuch,
}

impl Onboarding {
    /// As it begins: the first step is there to be done.
    pub fn new(company_name: String) -> Self {
        let step = |key| Step {
            key,
            state: if key == StepKey::CompanyProfile { StepState::Available } else { StepState::Locked },
            data: Map::new(),
            done_by: None,
            done_at: None,
            reopened: false,
            held: false,
        };
        Self {
            company_name,
            state: State::NotStarted,
            steps: StepKey::ALL.into_iter().map(step).collect(),
            proofs: Vec::new(),
            missing: Vec::new(),
            expert_id: None,
            live_at: None,
        }
    }

    pub fn step(&self, key: StepKey) -> Option<&Step> {
        self.steps.iter().find(|s| s.key == key)
    }

    fn step_mut(&mut self, key: StepKey) -> Option<&mut Step> {
        self.steps.iter_mut().find(|s| s.key == key)
    }

    /// Whether a step's evidence holds.
    pub fn proven(&self, key: StepKey) -> bool {
        let seen = self.proofs.iter().any(|p| p.step == key && p.holds);
        seen || (key == StepKey::Intake && self.step(key).is_some_and(|s| answered(&s.data)))
    }

    /// Of the twelve steps, those that are done.
    pub fn percent(&self) -> u32 {
        let done = self.steps.iter().filter(|s| s.state.is_done()).count();
        u32::try_from(done * 100 / StepKey::ALL.len()).unwrap_or(100)
    }

    /// The first step that is open.
    pub fn current(&self) -> Option<StepKey> {
        self.steps.iter().find(|s| !s.state.is_done()).map(|s| s.key)
    }

    /// Steps that came open again although the company is live.
    pub fn warnings(&self) -> Vec<StepKey> {
        let open = |s: &&Step| s.reopened && !s.state.is_done() && !s.key.is_optional();
        let live = self.live_at.is_some();
        self.steps.iter().filter(|s| live && open(s)).map(|s| s.key).collect()
    }

    /// Takes in what was seen. An older word of the same source changes nothing, and so does the same one again.
    pub fn seen(&self, proof: Proof, now: Timestamp) -> Self {
        let mut next = self.clone();
        let known = next.proofs.iter_mut().find(|p| p.step == proof.step && p.source == proof.source);
        match known {
            Some(old) if (old.sequence, old.seen_at) >= (proof.sequence, proof.seen_at) => return next,
            Some(old) => *old = proof.clone(),
            None => next.proofs.push(proof.clone()),
        }
        if next.proofs.len() > MOST_PROOFS
            && let Some(at) = next.proofs.iter().position(|p| !p.holds)
        {
            next.proofs.remove(at);
        }
        if proof.holds {
            if let Some(step) = next.step_mut(proof.step) {
                step.held = false;
            }
            if proof.step == StepKey::GoLive && next.live_at.is_none() {
                next.live_at = Some(proof.seen_at);
            }
        }
        next.settled(now)
    }

    /// Takes in the company's record: its name and the required fields it lacks.
    pub fn profile(&self, name: &str, missing: Vec<String>, version: i64, at: Timestamp) -> Self {
        let proof = Proof {
            step: StepKey::CompanyProfile,
            source: String::from("company"),
            kind: String::from("company.profile"),
            about: name.to_owned(),
            holds: missing.is_empty(),
            sequence: version,
            seen_at: at,
        };
        // An older reading of the record says nothing.
        if self.proofs.iter().any(|p| p.step == proof.step && p.sequence >= version) {
            return self.clone();
        }
        Self { company_name: name.to_owned(), missing, ..self.clone() }.seen(proof, at)
    }

    /// Saves what a person entered: keys with null go, the others stay or are replaced.
    pub fn saved(&self, key: StepKey, data: Map<String, Value>, now: Timestamp) -> Result<Self, Refusal> {
        let mut next = self.clone();
        let step = next.step_mut(key).ok_or(Refusal::WrongState)?;
        if step.state == StepState::Locked {
            return Err(Refusal::Locked);
        }
        for (name, value) in data {
            if value.is_null() {
                step.data.remove(&name);
            } else {
                step.data.insert(name, value);
            }
        }
        let bytes: usize = step.data.iter().map(|(k, v)| k.len() + v.to_string().len()).sum();
        if step.data.len() > MOST_KEYS || bytes > MOST_BYTES {
            return Err(Refusal::TooMuch);
        }
        if step.state == StepState::Available {
            step.state = StepState::InProgress;
        }
        Ok(next.settled(now))
    }

    /// Completes a step whose evidence holds. Twice is once.
    pub fn completed(&self, key: StepKey, by: &str, now: Timestamp) -> Result<Self, Refusal> {
        let proven = self.proven(key);
        let mut next = self.clone();
        let step = next.step_mut(key).ok_or(Refusal::WrongState)?;
        match step.state {
            StepState::Completed => return Ok(next),
            StepState::Locked => return Err(Refusal::Locked),
            _ if !proven => return Err(Refusal::EvidenceMissing),
            _ => step.close(StepState::Completed, Some(by), now),
        }
        Ok(next.settled(now))
    }

    /// Passes over a step that need not be done. Twice is once.
    pub fn skipped(&self, key: StepKey, by: &str, now: Timestamp) -> Result<Self, Refusal> {
        if !key.is_optional() {
            return Err(Refusal::Required);
        }
        let mut next = self.clone();
        let step = next.step_mut(key).ok_or(Refusal::WrongState)?;
        match step.state {
            StepState::Skipped => return Ok(next),
            StepState::Locked => return Err(Refusal::Locked),
            StepState::Completed => return Err(Refusal::WrongState),
            StepState::Available | StepState::InProgress => step.close(StepState::Skipped, Some(by), now),
        }
        // What was proof before was passed over knowingly; new proof completes it.
        step.held = true;
        Ok(next.settled(now))
    }

    /// Takes a step up again that was done.
    pub fn reopened(&self, key: StepKey, now: Timestamp) -> Result<Self, Refusal> {
        let mut next = self.clone();
        let step = next.step_mut(key).ok_or(Refusal::WrongState)?;
        if !step.state.is_done() {
            return Err(Refusal::WrongState);
        }
        step.open();
        step.held = true;
        Ok(next.settled(now))
    }

    /// Every step where it belongs: what is proven is complete, what lost its proof is open, what follows only steps
    /// that are done is there to be done.
    fn settled(mut self, now: Timestamp) -> Self {
        let proven: Vec<bool> = StepKey::ALL.into_iter().map(|key| self.proven(key)).collect();
        let mut all_done = true;
        for (step, proven) in self.steps.iter_mut().zip(proven) {
            if step.state == StepState::Locked && all_done {
                step.state = StepState::Available;
            }
            match step.state {
                StepState::Completed if !proven => step.open(),
                StepState::Available | StepState::InProgress | StepState::Skipped if proven && !step.held => {
                    step.close(StepState::Completed, None, now);
                }
                _ => {}
            }
            all_done &= step.state.is_done();
        }
        self.state = self.stands();
        self
    }

    fn stands(&self) -> State {
        let required = |s: &&Step| !s.key.is_optional() && s.key != StepKey::GoLive;
        let untouched = |s: &Step| matches!(s.state, StepState::Locked | StepState::Available);
        if self.live_at.is_some() {
            State::Live
        } else if self.steps.iter().filter(required).all(|s| s.state.is_done()) {
            State::Ready
        } else if self.steps.iter().all(untouched) {
            State::NotStarted
        } else {
            State::InProgress
        }
    }
}

impl Step {
    fn close(&mut self, state: StepState, by: Option<&str>, now: Timestamp) {
        self.state = state;
        self.done_by = by.map(str::to_owned);
        self.done_at = Some(now);
        self.reopened = false;
        self.held = false;
    }

    fn open(&mut self) {
        self.state = StepState::InProgress;
        self.done_by = None;
        self.done_at = None;
        self.reopened = true;
    }
}

/// Whether the intake's answers are among what people entered: `answers`, an object with at least one that is not empty.
fn answered(data: &Map<String, Value>) -> bool {
    let given = |v: &Value| match v {
        Value::Null => false,
        Value::String(s) => !s.trim().is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    };
    data.get("answers").and_then(Value::as_object).is_some_and(|answers| answers.values().any(given))
}

mod text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::{Map, Value};

    pub fn serialize<S: Serializer>(data: &Map<String, Value>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(data).map_err(S::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
