//! An export and its states: `queued → running → ready → expired* | failed*`.

use kit::Timestamp;
use serde::{Deserialize, Serialize};

use crate::customers;

/// How long a file can be fetched.
pub const HOURS: i64 = 24;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    Running,
    Ready,
    Expired,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// RFC 4180.
    Csv,
    JsonLines,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "json_lines",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::JsonLines => "application/x-ndjson",
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub format: Format,
    pub state: Option<customers::State>,
    pub tag: Option<String>,
}

impl Wanted {
    /// One open or ready export per company, mode and this.
    pub fn key(&self) -> String {
        let state = self.state.map_or("", customers::State::as_str);
        format!("{}/{state}/{}", self.format.as_str(), self.tag.as_deref().unwrap_or_default())
    }
}

/// One export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub wanted: Wanted,
    /// [`Wanted::key`] while it is the one to be had; its own id afterwards.
    pub key: String,
    pub state: State,
    pub rows: i64,
    pub bytes: i64,
    pub asked_by: String,
    #[serde(with = "store::time::option", default)]
    pub ready_at: Option<Timestamp>,
    #[serde(with = "store::time::option", default)]
    pub expires_at: Option<Timestamp>,
}

impl Export {
    pub fn ready(&self, rows: i64, bytes: i64, now: Timestamp) -> Self {
        let expires_at = now.checked_add(jiff::SignedDuration::from_hours(HOURS)).ok();
        Self { state: State::Ready, rows, bytes, ready_at: Some(now), expires_at, ..self.clone() }
    }

    /// No longer to be had: the next one who asks gets a new one.
    pub fn gone(&self, id: &str, state: State) -> Self {
        Self { state, key: id.to_owned(), ..self.clone() }
    }

    /// Whether the file can be fetched at `now`.
    pub fn is_there(&self, now: Timestamp) -> bool {
        self.state == State::Ready && self.expires_at.is_none_or(|end| now < end)
    }
}
