//! What a campaign is, and when it may ask customers for money.

use aws_lc_rs::digest;
use jiff::ToSpan;
use jiff::tz::TimeZone;
use kit::locale::LocalText;
use kit::{FieldError, Timestamp};
use serde::{Deserialize, Serialize};

use super::text::{self, Variable};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Draft,
    Active,
    Paused,
    Archived,
}

impl Status {
    pub const ALL: [Self; 4] = [Self::Draft, Self::Active, Self::Paused, Self::Archived];

    /// `draft → active ⇄ paused → archived`; anything not yet archived may be.
    pub fn leads_to(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Draft | Self::Paused, Self::Active)
                | (Self::Active, Self::Paused)
                | (Self::Draft | Self::Active | Self::Paused, Self::Archived)
        )
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Archived => "archived",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    RetryHint,
    Mail,
    InAppNotice,
    LastChanceOffer,
    Ticket,
}

impl StepKind {
    pub const ALL: [Self; 5] =
        [Self::RetryHint, Self::Mail, Self::InAppNotice, Self::LastChanceOffer, Self::Ticket];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::RetryHint => "retry_hint",
            Self::Mail => "mail",
            Self::InAppNotice => "in_app_notice",
            Self::LastChanceOffer => "last_chance_offer",
            Self::Ticket => "ticket",
        }
    }

    /// Whether the customer gets a mail by it.
    pub fn mails(self) -> bool {
        matches!(self, Self::RetryHint | Self::Mail | Self::LastChanceOffer)
    }
}

/// Something that is done on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub kind: StepKind,
    /// Since the payment failed.
    pub day: u32,
    /// Of the company's time zone.
    pub hour: Option<u32>,
    pub subject: Option<LocalText>,
    pub body: Option<LocalText>,
    pub offer_id: String,
    pub link: String,
}

impl Step {
    /// When it is due. At an hour that had passed on the first day it is at once.
    pub fn due_at(&self, failed_at: Timestamp, zone: &TimeZone) -> Timestamp {
        let Some(hour) = self.hour else { return kit::time::add_days(failed_at, i64::from(self.day)) };
        let date = failed_at.to_zoned(zone.clone()).date();
        let at = date.checked_add(i64::from(self.day).days()).and_then(|date| {
            let hour = i8::try_from(hour.min(23)).unwrap_or(0);
            date.at(hour, 0, 0, 0).to_zoned(zone.clone())
        });
        at.map_or(Timestamp::MAX, |at| kit::clock::millis(at.timestamp())).max(failed_at)
    }
}

/// What a campaign does: one version of it. Cases keep the one they began with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub variables: Vec<Variable>,
    pub give_up_after_days: u32,
    pub go_on_when_disputed: bool,
    pub max_mails: u32,
}

/// What holds where nothing is said: the period of the recovery rate, and few mails.
pub const GIVE_UP_AFTER_DAYS: u32 = 30;
pub const MAX_MAILS: u32 = 4;

impl Plan {
    /// What it is kept under: the same plan is the same record.
    pub fn hash(&self) -> String {
        // Plain data with ordered maps: its JSON is the same every time, and writing it cannot fail.
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex::encode(digest::digest(&digest::SHA256, &text))
    }

    fn faults(&self) -> Vec<FieldError> {
        let mut wrong: Vec<_> = text::faults(&self.variables);
        let mut before = 0;
        for (n, step) in self.steps.iter().enumerate() {
            let path = |field: &str| format!("steps[{n}].{field}");
            let mut no = |field: &str, code: &str, text: &str| {
                wrong.push(FieldError::new(path(field), code, text));
            };
            if step.day < before {
                no("day", "out_of_order", "must not be before the day of the step above");
            }
            if step.day >= self.give_up_after_days {
                no("day", "out_of_range", "must be before the campaign gives up");
            }
            before = before.max(step.day);
            let needs_text = matches!(step.kind, StepKind::Mail | StepKind::LastChanceOffer);
            for (field, text) in [("subject", &step.subject), ("body", &step.body)] {
                if needs_text && text.is_none() {
                    no(field, "required", "a text is required");
                }
            }
            if step.subject.is_some() != step.body.is_some() && !needs_text {
                no("body", "required", "subject and body come together");
            }
            if step.kind == StepKind::LastChanceOffer && step.offer_id.is_empty() {
                no("offer_id", "required", "name the offer");
            }
            if !step.link.is_empty() && !is_page(&step.link) {
                no("link", "not_https", "must be an address that begins with https://");
            }
            let texts = [("subject", &step.subject), ("body", &step.body)];
            for (field, text) in texts.into_iter().filter_map(|(f, t)| Some((f, t.as_ref()?))) {
                wrong.extend(text::check(&format!("steps[{n}].{field}"), text, &self.variables));
            }
        }
        if self.steps.iter().filter(|s| s.kind == StepKind::LastChanceOffer).count() > 1 {
            wrong.push(FieldError::new("steps", "duplicate", "there is one last chance"));
        }
        for error in &mut wrong {
            error.field = format!("plan.{}", error.field);
        }
        wrong
    }
}

fn is_page(url: &str) -> bool {
    url.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.chars().any(|c| c.is_whitespace() || c.is_control())
    })
}

/// What stands for "everybody" among the personas a campaign claims.
const EVERYBODY: &str = "*";

/// A campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    pub name: String,
    pub status: Status,
    /// Of the plan; rises with each change once the campaign was active.
    pub number: u32,
    pub priority: u32,
    pub persona_ids: Vec<String>,
    pub plan: Plan,
    /// Whom it claims while it is active: of each persona, and of everybody, there is one. A unique index keeps it so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// It was active: cases may hold this plan.
    pub begun: bool,
}

/// What a campaign is made from, or changed with.
#[derive(Clone, Debug)]
pub struct Draft {
    pub name: String,
    pub priority: u32,
    pub persona_ids: Vec<String>,
    pub plan: Plan,
}

impl Draft {
    /// The draft as a campaign, or every field that is wrong with it.
    pub fn campaign(self) -> Result<Campaign, Vec<FieldError>> {
        let Self { name, priority, mut persona_ids, mut plan } = self;
        persona_ids.sort_unstable();
        persona_ids.dedup();
        plan.give_up_after_days = or(plan.give_up_after_days, GIVE_UP_AFTER_DAYS);
        plan.max_mails = or(plan.max_mails, MAX_MAILS);
        let wrong = plan.faults();
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let status = Status::Draft;
        Ok(Campaign {
            name,
            status,
            number: 1,
            priority,
            persona_ids,
            plan,
            claims: Vec::new(),
            begun: false,
        })
    }
}

/// A change of a campaign.
#[derive(Clone, Debug)]
pub struct Change {
    pub draft: Draft,
    pub status: Option<Status>,
}

fn or(given: u32, otherwise: u32) -> u32 {
    if given == 0 { otherwise } else { given }
}

impl Campaign {
    /// The change that leaves its contents as they are.
    pub fn as_it_is(&self, status: Option<Status>) -> Change {
        let Self { name, priority, persona_ids, plan, .. } = self.clone();
        Change { draft: Draft { name, priority, persona_ids, plan }, status }
    }

    /// The campaign with other contents.
    pub fn changed(&self, draft: Draft) -> Result<Self, Vec<FieldError>> {
        let next = draft.campaign()?;
        let number = self.number + u32::from(self.begun && next.plan != self.plan);
        let next = Self { status: self.status, begun: self.begun, number, ..next };
        Ok(next.claiming())
    }

    /// The campaign in another status.
    pub fn moved(&self, to: Status) -> Self {
        Self { status: to, begun: self.begun || to == Status::Active, ..self.clone() }.claiming()
    }

    fn claiming(self) -> Self {
        let claims = match (self.status, self.persona_ids.is_empty()) {
            (Status::Active, true) => vec![EVERYBODY.to_owned()],
            (Status::Active, false) => self.persona_ids.clone(),
            _ => Vec::new(),
        };
        Self { claims, ..self }
    }

    /// Why it cannot be active, whatever the offers say: a slug and a sentence.
    pub fn not_ready(&self) -> Option<(&'static str, &'static str)> {
        if self.plan.steps.is_empty() {
            return Some(("no_steps", "a campaign without steps contacts nobody"));
        }
        let ticket = self.plan.steps.iter().any(|s| s.kind == StepKind::Ticket);
        ticket.then_some((
            "ticketing_not_connected",
            "a ticket step needs a ticket system, and none is connected",
        ))
    }

    /// Whether it is for a customer who is in these personas.
    pub fn is_for(&self, personas: &[String]) -> bool {
        self.persona_ids.is_empty() || self.persona_ids.iter().any(|p| personas.contains(p))
    }
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(crate) mod tests;
