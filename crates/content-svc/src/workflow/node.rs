//! What a node does outside a page: actions, splits, waits. Whether one is fit to be published.

use std::collections::BTreeSet;

use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use crate::text::{Findings, TextCheck, Variable};

/// Does something outside and goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// As it was drawn; what can be carried out is in [`Action::deed`].
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    pub next: String,
}

/// A mail to the customer, in the company's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    pub subject: LocalText,
    pub body: LocalText,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
}

/// Tags the customer gets or loses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// An action that can be carried out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed<'a> {
    Mail(&'a Mail),
    Tag(&'a Tag),
}

/// Goes one of several ways, drawn by customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Split {
    pub experiment_id: String,
    /// Arm and node, by arm.
    pub arms: Vec<(String, String)>,
    pub otherwise: String,
    /// Arm and weight, by arm; of none, all weigh the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<(String, u32)>,
}

/// Goes on later, or when an event arrives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    pub hours: u32,
    pub event: String,
    pub next: String,
    /// Where time leads when the event did not come; none: where the event leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
}

/// The events a wait may name beside `subscription.` and a state.
const EVENTS: [&str; 16] = [
    "payment.failed",
    "payment.recovered",
    "payment.refunded",
    "payment.disputed",
    "persona.entered",
    "persona.left",
    "customer.tagged",
    "redemption.claimed",
    "redemption.verified",
    "redemption.failed",
    "redemption.reversed",
    "flow.session.started",
    "flow.session.saved",
    "flow.session.canceled",
    "flow.session.manual_requested",
    "flow.session.abandoned",
];

/// The states a subscription comes to (§10.1).
const STATES: [&str; 7] = ["pending", "trialing", "active", "past_due", "paused", "non_renewing", "ended"];

/// Names that mails have of their own.
const RESERVED: [&str; 4] = ["link", "text", "subject", "paragraphs"];

impl Action {
    /// What is to be done; none where it is not said, or not known how.
    pub fn deed(&self) -> Option<Deed<'_>> {
        match self.action.as_str() {
            "mail" => self.mail.as_ref().map(Deed::Mail),
            "tag" => self.tag.as_ref().map(Deed::Tag),
            _ => None,
        }
    }

    /// What stops publishing it.
    pub fn check(&self, field: &str, locales: &[String], found: &mut Findings) {
        match self.action.as_str() {
            "mail" => match &self.mail {
                Some(mail) => mail.check(&format!("{field}.mail"), locales, found),
                None => found.error("required", format!("{field}.mail"), "say what the mail says"),
            },
            "tag" => {
                let nothing = |tag: &Tag| tag.add.is_empty() && tag.remove.is_empty();
                if self.tag.as_ref().is_none_or(nothing) {
                    found.error("required", format!("{field}.tag"), "say which tags");
                }
            }
            kind @ ("ticket" | "slack" | "webhook") => {
                let message = format!("nothing carries out a {kind} yet: `mail` and `tag` are carried out");
                found.error("action_not_supported", format!("{field}.action"), message);
            }
            other => {
                let message = format!("there is no action {other:?}");
                found.error("unknown_action", format!("{field}.action"), message);
            }
        }
    }
}

impl Mail {
    fn check(&self, field: &str, locales: &[String], found: &mut Findings) {
        let mut texts = TextCheck::new(locales, &self.variables);
        texts.text("subject", &self.subject);
        texts.text("body", &self.body);
        for finding in texts.findings.into_vec() {
            found.note(finding.placed(field));
        }
        for taken in self.variables.iter().filter(|v| RESERVED.contains(&v.key.as_str())) {
            let message = format!("{} is what we call something else in mails", taken.key);
            found.error("reserved_variable", format!("{field}.variables[{}]", taken.key), message);
        }
        let page = self.link.strip_prefix("https://").is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
        });
        if !self.link.is_empty() && !page {
            let message = "must be an address that begins with https://";
            found.error("not_https", format!("{field}.link"), message);
        }
    }
}

impl Split {
    /// The weight of an arm.
    pub fn weight(&self, arm: &str) -> u32 {
        if self.weights.is_empty() {
            return 1;
        }
        self.weights.iter().find(|(name, _)| name == arm).map_or(0, |(_, weight)| *weight)
    }

    /// What stops publishing it.
    pub fn check(&self, field: &str, found: &mut Findings) {
        if self.arms.iter().map(|(arm, _)| self.weight(arm)).all(|weight| weight == 0) {
            found.error("no_arms", format!("{field}.arms"), "no arm has a weight: nobody can be drawn");
        }
        let arms: BTreeSet<&str> = self.arms.iter().map(|(arm, _)| arm.as_str()).collect();
        for (arm, _) in self.weights.iter().filter(|(arm, _)| !arms.contains(arm.as_str())) {
            found.error("unknown_arm", format!("{field}.weights[{arm}]"), format!("there is no arm {arm}"));
        }
    }
}

impl Wait {
    /// Where it leads when its time is over.
    pub fn after_time(&self) -> (&'static str, &str) {
        match &self.late {
            Some(late) if !self.event.is_empty() => ("late", late),
            _ => ("next", &self.next),
        }
    }

    /// What stops publishing it.
    pub fn check(&self, field: &str, found: &mut Findings) {
        if self.hours == 0 && self.event.is_empty() {
            let message = "say how long it waits, or for which event";
            found.error("required", format!("{field}.hours"), message);
        }
        let state = self.event.strip_prefix("subscription.");
        let known = EVENTS.contains(&self.event.as_str()) || state.is_some_and(|s| STATES.contains(&s));
        if !self.event.is_empty() && !known {
            let message = format!("nothing tells of {}", self.event);
            found.error("unknown_event", format!("{field}.event"), message);
        }
        if self.late.is_some() && (self.event.is_empty() || self.hours == 0) {
            let message = "only a wait for an event with a time can be late";
            found.error("never_late", format!("{field}.late"), message);
        }
    }
}
