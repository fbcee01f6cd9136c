//! One message to one person, and what a person wants to hear.

use std::collections::BTreeMap;

use kit::locale::LocalText;
use kit::{Money, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    HighValueSession,
    ManualCancellation,
    ConnectionDegraded,
    DraftSubmitted,
    PersonasRefreshed,
    PaymentRecovery,
}

impl Kind {
    /// All there are, in the order of the preferences.
    pub const ALL: [Self; 6] = [
        Self::HighValueSession,
        Self::ManualCancellation,
        Self::ConnectionDegraded,
        Self::DraftSubmitted,
        Self::PersonasRefreshed,
        Self::PaymentRecovery,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HighValueSession => "high_value_session",
            Self::ManualCancellation => "manual_cancellation",
            Self::ConnectionDegraded => "connection_degraded",
            Self::DraftSubmitted => "draft_submitted",
            Self::PersonasRefreshed => "personas_refreshed",
            Self::PaymentRecovery => "payment_recovery",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Info,
    Warning,
    Urgent,
}

/// How a kind of message reaches a person over one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Now,
    Off,
}

/// Somebody of the dashboard, as identity knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub user_id: String,
    pub email: String,
    pub name: String,
    pub locale: String,
    pub role: String,
    pub sees_personal_data: bool,
}

/// What is told to people; each gets it in the own language and with what they may see.
#[derive(Clone, Debug, PartialEq)]
pub struct Post {
    pub kind: Kind,
    pub severity: Severity,
    /// `ret_admin`, `ret_exp`; admins when empty.
    pub roles: Vec<String>,
    /// The key of our words, or the words themselves where another service wrote them.
    pub title: String,
    pub body: String,
    /// The company's own title and body instead, with names in them.
    pub words: Option<(LocalText, LocalText)>,
    /// No mail goes with it.
    pub in_app_only: bool,
    /// Relative to the dashboard.
    pub link: String,
    pub subject: String,
    /// A second post with the same key tells nobody.
    pub dedupe_key: String,
    /// The mail, where it is not the general one.
    pub template: Option<&'static str>,
    /// Further values of the mail.
    pub values: serde_json::Value,
    /// The customer it is about, for those who may see who that is, and for the others.
    pub customer: Option<(String, String)>,
    /// Our id of that customer, so that erasure finds it.
    pub about: Option<String>,
    pub value: Option<Money>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    pub user_id: String,
    pub kind: Kind,
    pub severity: Severity,
    pub title: String,
    pub body: String,
    pub link: String,
    pub subject: String,
    pub dedupe_key: String,
    /// The customer it is about: title and body may name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    #[serde(default, with = "store::time::option")]
    pub read_at: Option<Timestamp>,
}

/// What one person wants to hear; what is not said is `now`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preferences {
    pub in_app: BTreeMap<Kind, Mode>,
    pub email: BTreeMap<Kind, Mode>,
}

impl Preferences {
    pub fn in_app(&self, kind: Kind) -> Mode {
        self.in_app.get(&kind).copied().unwrap_or_default()
    }

    pub fn email(&self, kind: Kind) -> Mode {
        self.email.get(&kind).copied().unwrap_or_default()
    }
}
