//! One mail to one person, and its way: `queued → sending → sent | retrying | dead*`, or `suppressed*`.

use kit::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    Sending,
    Sent,
    Retrying,
    Dead,
    Suppressed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
            Self::Suppressed => "suppressed",
        }
    }
}

/// A mail as it is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub template: String,
    /// Personal.
    pub to: String,
    pub locale: String,
    /// Whom it is from, beside the address: the company's name for its customers; empty for our own.
    pub from_name: String,
    pub values: Value,
    /// A second draft with the same key sends nothing.
    pub dedupe_key: String,
    /// The customer it goes to, so that erasure finds it.
    pub customer_id: Option<String>,
    /// The customer it speaks of, where it goes to somebody else.
    pub about: Option<String>,
    /// The subscription whose payment it asks for: it is not sent once that one is paid or canceled.
    pub recovery_of: Option<Recovery>,
}

/// Of which subscription the payment is asked for, and when it was looked at last. What happened to it since then stops
/// the mail; what happened before was known to whoever asked for the mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub subscription: String,
    pub asked_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    pub template: String,
    pub to: String,
    pub locale: String,
    pub from_name: String,
    /// The template's values as JSON text. Emptied when the mail is done: they hold codes and names.
    pub values: String,
    pub dedupe_key: String,
    pub customer_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    pub recovery_of: Option<String>,
    /// For a mail of recovery.
    #[serde(default, with = "store::time::option")]
    pub asked_at: Option<Timestamp>,
    pub state: State,
    /// Something is still to be done.
    pub open: bool,
    pub attempts: u32,
    /// When it is taken up next; while sending, when somebody else may take it over.
    #[serde(with = "store::time")]
    pub next_at: Timestamp,
    pub last_error: String,
    #[serde(default, with = "store::time::option")]
    pub sent_at: Option<Timestamp>,
}

impl Mail {
    pub fn new(draft: Draft, now: Timestamp) -> Self {
        let Draft { template, to, locale, from_name, values, dedupe_key, customer_id, about, recovery_of } =
            draft;
        Self {
            template,
            to,
            locale,
            from_name,
            values: values.to_string(),
            dedupe_key,
            customer_id,
            about,
            asked_at: recovery_of.as_ref().map(|r| r.asked_at),
            recovery_of: recovery_of.map(|r| r.subscription),
            state: State::Queued,
            open: true,
            attempts: 0,
            next_at: now,
            last_error: String::new(),
            sent_at: None,
        }
    }

    pub fn sent(&self, now: Timestamp) -> Self {
        Self { state: State::Sent, sent_at: Some(now), last_error: String::new(), ..self.done() }
    }

    pub fn suppressed(&self, why: &str) -> Self {
        Self { state: State::Suppressed, last_error: why.to_owned(), ..self.done() }
    }

    /// After a failure: tried again later, or dead when it is hopeless or was tried often enough.
    pub fn failed(&self, why: &str, hopeless: bool, now: Timestamp) -> Self {
        let why: String = why.chars().take(200).collect();
        match wait(self.attempts) {
            Some(seconds) if !hopeless => {
                let next_at = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
                Self { state: State::Retrying, next_at, last_error: why, ..self.clone() }
            }
            _ => Self { state: State::Dead, last_error: why, ..self.done() },
        }
    }

    fn done(&self) -> Self {
        Self { open: false, values: String::new(), ..self.clone() }
    }
}

/// How long to wait after so many attempts: about two days in all.
fn wait(attempts: u32) -> Option<i64> {
    const SECONDS: [i64; 11] = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 57_600, 57_600];
    let index = usize::try_from(attempts.saturating_sub(1)).ok()?;
    SECONDS.get(index).copied()
}

/// Marks a subscription whose recovery mails stop: it was paid, or the customer left. Those asked for later, of
/// another payment that failed, go: so it does not matter in which order news comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    pub reason: String,
    /// When that was, the latest time.
    #[serde(default = "long_ago", with = "store::time")]
    pub at: Timestamp,
}

fn long_ago() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// How much later a mail may have been asked for and still not have known of the halt: clocks of two machines, and the
/// time between a look at the clock and the write.
const MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

impl Halt {
    /// Mails asked for up to this instant stop.
    pub fn until(&self) -> Timestamp {
        self.at.checked_add(MARGIN).unwrap_or(Timestamp::MAX)
    }

    /// Whether it stops a mail.
    pub fn stops(&self, mail: &Mail) -> bool {
        mail.asked_at.is_none_or(|asked_at| asked_at <= self.until())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail() -> Mail {
        let draft = Draft {
            template: "sign_in_code".into(),
            to: "a@b.example".into(),
            locale: "en".into(),
            from_name: String::new(),
            values: serde_json::json!({ "code": "123456" }),
            dedupe_key: "k".into(),
            customer_id: None,
            about: None,
            recovery_of: None,
        };
        Mail::new(draft, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_mail_is_tried_for_about_two_days() {
        let mut m = mail();
        let mut now = Timestamp::UNIX_EPOCH;
        while m.open {
            m.attempts += 1;
            m = m.failed("451 later", false, now);
            now = m.next_at;
        }
        assert_eq!((m.state, m.attempts), (State::Dead, 12));
        let hours = now.as_second() / 3600;
        assert!((40..60).contains(&hours), "{hours}");
    }

    #[test]
    fn what_is_done_keeps_no_values() {
        let now = Timestamp::UNIX_EPOCH;
        for done in [mail().sent(now), mail().suppressed("paid"), mail().failed("550", true, now)] {
            assert!(!done.open && done.values.is_empty());
        }
    }
}
