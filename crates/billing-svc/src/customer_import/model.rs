//! An import and its states: `queued → importing → completed* | completed_with_errors* | failed*`, `canceled*` before its
//! end.

use std::collections::BTreeMap;

use kit::{FieldError, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Queued,
    Importing,
    Completed,
    CompletedWithErrors,
    Failed,
    Canceled,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Importing => "importing",
            Self::Completed => "completed",
            Self::CompletedWithErrors => "completed_with_errors",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Importing)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    Csv,
    JsonLines,
}

impl Format {
    /// What a content type, or else the file's name, says.
    pub fn of(content_type: &str, file_name: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let name = file_name.to_ascii_lowercase();
        let lines = ["application/x-ndjson", "application/jsonl", "application/x-jsonlines"];
        let named = name.ends_with(".jsonl") || name.ends_with(".ndjson");
        if lines.contains(&kind.as_str()) || named { Self::JsonLines } else { Self::Csv }
    }
}

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read and dealt with: where it goes on after a crash.
    pub rows: i64,
    pub created: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub rejected: i64,
}

/// One import by file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Import {
    pub file_name: String,
    pub format: Format,
    pub mapping: BTreeMap<String, String>,
    pub hash: String,
    /// Hash of file and mapping while it holds their place; its own id once it was canceled or failed.
    pub same_as: String,
    pub bytes: i64,
    pub state: State,
    pub counts: Counts,
    pub reason: String,
    pub uploaded_by: String,
    #[serde(with = "store::time::option", default)]
    pub finished_at: Option<Timestamp>,
}

impl Import {
    /// With what one more chunk came to.
    pub fn further(&self, more: Counts) -> Self {
        let Counts { rows: _, created, updated, unchanged, rejected } = self.counts;
        let counts = Counts {
            rows: more.rows,
            created: created + more.created,
            updated: updated + more.updated,
            unchanged: unchanged + more.unchanged,
            rejected: rejected + more.rejected,
        };
        Self { state: State::Importing, counts, ..self.clone() }
    }

    /// All rows were read.
    pub fn completed(&self, now: Timestamp) -> Self {
        let state = if self.counts.rejected > 0 { State::CompletedWithErrors } else { State::Completed };
        Self { state, finished_at: Some(now), ..self.clone() }
    }

    /// Ended before its end: the same file may be sent again.
    pub fn ended(&self, id: &str, state: State, reason: &str, now: Timestamp) -> Self {
        Self {
            state,
            reason: reason.to_owned(),
            same_as: id.to_owned(),
            finished_at: Some(now),
            ..self.clone()
        }
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowFault {
    pub import_id: String,
    pub row: i64,
    pub field: String,
    pub code: String,
    pub message: String,
    #[serde(with = "store::time")]
    pub forget_at: Timestamp,
}

impl RowFault {
    pub fn new(import_id: &str, row: i64, fault: FieldError, forget_at: Timestamp) -> Self {
        let FieldError { field, code, message } = fault;
        Self { import_id: import_id.to_owned(), row, field, code, message, forget_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_type_or_its_name_says() {
        assert_eq!(Format::of("text/csv; charset=utf-8", "a"), Format::Csv);
        assert_eq!(Format::of("application/x-ndjson", "a.csv"), Format::JsonLines);
        assert_eq!(Format::of("application/octet-stream", "People.JSONL"), Format::JsonLines);
    }
}
