//! Datasets, uploads and the reading of rows. Plain functions; the file is streamed elsewhere.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::facts::fact_key;
use crate::rules::Value;

/// The longest text of a cell that is kept.
pub const MAX_TEXT: usize = 1_000;
/// The longest key of a row.
pub const MAX_KEY: usize = 200;
/// The most columns of a dataset.
pub const MAX_COLUMNS: usize = 200;
/// How long an upload may be taken back.
const REVERT_WITHIN: SignedDuration = SignedDuration::from_hours(24 * 7);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
    Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    pub kind: ColumnType,
    pub meaning: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grain {
    Customer,
    CustomerPeriod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKey {
    ExternalId,
    Email,
    CustomerId,
}

impl JoinKey {
    /// The columns of a file that can hold it.
    fn names(self) -> &'static [&'static str] {
        match self {
            // A company calls its own id what it likes.
            Self::ExternalId => &["external_id", "customer_id", "customer", "id"],
            Self::Email => &["email", "e_mail"],
            Self::CustomerId => &["customer_id"],
        }
    }
}

/// The description of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    pub name: String,
    pub description: String,
    pub grain: Grain,
    pub join_key: JoinKey,
    pub columns: Vec<Column>,
}

impl Dataset {
    /// New columns may follow the old ones; these stay as they are.
    pub fn widen(&mut self, columns: Vec<Column>) -> Result<(), Error> {
        let same = columns.len() >= self.columns.len()
            && self.columns.iter().zip(&columns).all(|(a, b)| a.name == b.name && a.kind == b.kind);
        if !same {
            return Err(Error::ColumnsChanged);
        }
        check_columns(&columns)?;
        self.columns = columns;
        Ok(())
    }
}

/// Refuses two columns of one name and names the rows need themselves.
pub fn check_columns(columns: &[Column]) -> Result<(), Error> {
    for (i, column) in columns.iter().enumerate() {
        let field = format!("columns[{i}].name");
        if columns[..i].iter().any(|c| c.name == column.name) {
            return Err(Error::field(field, "duplicate", "another column has this name"));
        }
        if column.name == "period" {
            return Err(Error::field(field, "reserved", "`period` names the period of a row"));
        }
    }
    Ok(())
}

/// §10.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Created,
    Uploading,
    Uploaded,
    Validating,
    Rejected,
    AwaitingConfirmation,
    Importing,
    Completed,
    CompletedWithErrors,
    Failed,
    Canceled,
    Reverted,
}

impl State {
    /// Those after which nothing reads the file but to list its wrong rows.
    pub const OVER: [Self; 6] = [
        Self::Rejected,
        Self::Completed,
        Self::CompletedWithErrors,
        Self::Failed,
        Self::Canceled,
        Self::Reverted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Uploading => "uploading",
            Self::Uploaded => "uploaded",
            Self::Validating => "validating",
            Self::Rejected => "rejected",
            Self::AwaitingConfirmation => "awaiting_confirmation",
            Self::Importing => "importing",
            Self::Completed => "completed",
            Self::CompletedWithErrors => "completed_with_errors",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Reverted => "reverted",
        }
    }
}

/// One file on its way into a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// None until the dataset is made from the file.
    #[serde(default)]
    pub dataset_id: Option<String>,
    pub dataset: String,
    pub file_name: String,
    /// SHA-256 in hex; empty while uploading.
    #[serde(default)]
    pub hash: String,
    /// What tells two uploads of one file apart: dataset and hash, or the own id while that is not known or does not
    /// count (a file that was refused, canceled or taken back may come again).
    pub same_as: String,
    pub bytes: u64,
    pub state: State,
    pub reason: String,
    pub mapping: BTreeMap<String, String>,
    pub auto_confirm: bool,
    pub uploaded_by: String,
    pub counts: Counts,
    /// The first wrong rows.
    pub errors: Vec<RowError>,
    /// The dataset as its first file describes it, until it is made.
    #[serde(default)]
    pub inferred: Option<Dataset>,
    /// Rows that need not be written again after a crash.
    #[serde(default)]
    pub written: u64,
    #[serde(default, with = "store::time::option")]
    pub finished_at: Option<Timestamp>,
    /// Somebody in the file was erased.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub file_gone: bool,
}

/// Rows of an upload, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub rows: u64,
    pub rejected: u64,
    pub matched: u64,
    pub imported: u64,
}

/// What validation leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Reject(&'static str),
    Ask(&'static str),
    Import,
}

impl Counts {
    /// Whether less than half of the good rows name a customer.
    pub fn few(self) -> bool {
        self.matched == 0 || self.matched * 2 < self.rows - self.rejected.min(self.rows)
    }

    /// No match at all is refused; few matches or many wrong rows need a person to agree.
    pub fn verdict(self, auto_confirm: bool) -> Verdict {
        if self.matched == 0 {
            Verdict::Reject("no_match")
        } else if self.few() {
            Verdict::Ask("low_match_rate")
        } else if self.rejected * 20 > self.rows {
            Verdict::Ask("many_bad_rows")
        } else if auto_confirm {
            Verdict::Import
        } else {
            Verdict::Ask("")
        }
    }
}

impl Upload {
    pub fn confirm(&mut self) -> Result<(), Error> {
        match self.state {
            State::AwaitingConfirmation => {
                self.state = State::Importing;
                Ok(())
            }
            _ => Err(Error::UploadState("the upload does not wait for confirmation")),
        }
    }

    pub fn cancel(&mut self, own_id: &str, now: Timestamp) -> Result<(), Error> {
        match self.state {
            State::Created
            | State::Uploading
            | State::Uploaded
            | State::Validating
            | State::AwaitingConfirmation => {
                self.end(State::Canceled, "", own_id, now);
                Ok(())
            }
            _ => Err(Error::UploadState("the upload has begun to import or is over")),
        }
    }

    /// Whether it may be taken back now.
    pub fn may_revert(&self, now: Timestamp) -> Result<(), Error> {
        if !matches!(self.state, State::Completed | State::CompletedWithErrors) {
            return Err(Error::UploadState("only a completed upload can be taken back"));
        }
        let ended = self.finished_at.unwrap_or(Timestamp::MIN);
        if now.duration_since(ended) > REVERT_WITHIN {
            return Err(Error::UploadState("an upload can be taken back within 7 days"));
        }
        Ok(())
    }

    /// Ends it. An end that wrote nothing lets the same file come again.
    pub fn end(&mut self, state: State, reason: &str, own_id: &str, now: Timestamp) {
        self.state = state;
        self.reason = reason.to_owned();
        self.finished_at = Some(now);
        if matches!(state, State::Rejected | State::Canceled | State::Failed | State::Reverted) {
            own_id.clone_into(&mut self.same_as);
        }
    }
}

/// One thing wrong with one row, counted from 1 without the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowError {
    pub row: u64,
    pub column: String,
    pub code: String,
    pub message: String,
}

impl RowError {
    pub fn new(row: u64, column: &str, code: &str, message: impl Into<String>) -> Self {
        Self { row, column: column.to_owned(), code: code.to_owned(), message: message.into() }
    }
}

/// What each place of a row means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub key: usize,
    pub period: Option<usize>,
    /// Place in the file and name of the column.
    pub columns: Vec<(usize, String)>,
    pub width: usize,
}

impl Layout {
    /// Reads a header. `join` is the dataset's key, where there is a dataset already.
    pub fn read(
        header: &[&str],
        mapping: &BTreeMap<String, String>,
        join: Option<JoinKey>,
    ) -> Result<(Self, JoinKey), &'static str> {
        let named: Vec<_> =
            header.iter().map(|h| mapping.get(h.trim()).cloned().unwrap_or_else(|| fact_key(h))).collect();
        let find = |join: JoinKey| {
            join.names().iter().find_map(|n| named.iter().position(|h| h == n)).map(|at| (at, join))
        };
        let found = match join {
            Some(join) => find(join),
            None => find(JoinKey::ExternalId).or_else(|| find(JoinKey::Email)),
        };
        let (key, join) = found.ok_or("no_key_column")?;
        let period = named.iter().position(|h| h == "period");
        let columns: Vec<_> = named
            .into_iter()
            .enumerate()
            .filter(|(at, name)| *at != key && Some(*at) != period && !name.is_empty())
            .collect();
        let twice = columns.iter().enumerate().any(|(i, (_, n))| columns[..i].iter().any(|(_, m)| m == n));
        if twice || columns.len() > MAX_COLUMNS {
            return Err("unreadable");
        }
        Ok((Self { key, period, columns, width: header.len() }, join))
    }
}

/// A cell read as its column says. Empty is nothing; the error says what was expected.
pub fn cell(kind: ColumnType, text: &str) -> Result<Option<Value>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let value = match kind {
        ColumnType::Text if text.len() > MAX_TEXT => return Err(format!("more than {MAX_TEXT} bytes")),
        ColumnType::Text => Some(Value::Text(text.to_owned())),
        #[allow(clippy::cast_precision_loss, reason = "facts are doubles")]
        ColumnType::Integer => text.parse::<i64>().ok().map(|n| Value::Number(n as f64)),
        // `inf` and `nan` parse, and are no numbers of a product.
        ColumnType::Number => text.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::Number),
        ColumnType::Boolean => boolean(text).map(Value::Bool),
        ColumnType::Date => text.parse::<jiff::civil::Date>().ok().map(|d| Value::Text(d.to_string())),
        ColumnType::Timestamp => text.parse::<Timestamp>().ok().map(|t| Value::Text(t.to_string())),
    };
    value.map(Some).ok_or_else(|| match kind {
        ColumnType::Integer => "not a whole number".into(),
        ColumnType::Number => "not a number".into(),
        ColumnType::Boolean => "neither true nor false".into(),
        ColumnType::Date => "not a date such as 2031-04-01".into(),
        _ => "not a time such as 2031-04-01T09:30:00Z".into(),
    })
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|w| text.eq_ignore_ascii_case(w));
    if is(["true", "yes", "1"]) {
        Some(true)
    } else if is(["false", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// The narrowest type that reads every cell seen so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guess {
    seen: bool,
    not: [bool; 5],
}

impl Guess {
    const ORDER: [ColumnType; 5] = [
        ColumnType::Integer,
        ColumnType::Number,
        ColumnType::Boolean,
        ColumnType::Date,
        ColumnType::Timestamp,
    ];

    pub fn see(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        self.seen = true;
        for (not, kind) in self.not.iter_mut().zip(Self::ORDER) {
            *not = *not || cell(kind, text).is_err();
        }
    }

    pub fn kind(self) -> ColumnType {
        let fits = Self::ORDER.into_iter().zip(self.not).find(|(_, not)| !not).map(|(kind, _)| kind);
        fits.filter(|_| self.seen).unwrap_or(ColumnType::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_that_fits_is_taken() {
        let guess = |cells: &[&str]| {
            let mut guess = Guess::default();
            cells.iter().for_each(|c| guess.see(c));
            guess.kind()
        };
        assert_eq!(guess(&["1", "", "20"]), ColumnType::Integer);
        assert_eq!(guess(&["1", "2.5"]), ColumnType::Number);
        assert_eq!(guess(&["yes", "No"]), ColumnType::Boolean);
        assert_eq!(guess(&["2031-04-01"]), ColumnType::Date);
        assert_eq!(guess(&["1", "x"]), ColumnType::Text);
        assert_eq!(guess(&["", ""]), ColumnType::Text);
        assert_eq!(guess(&["nan"]), ColumnType::Text);
    }

    #[test]
    fn thresholds_decide_who_is_asked() {
        let counts = |rows, rejected, matched| Counts { rows, rejected, matched, imported: 0 };
        assert_eq!(counts(100, 0, 0).verdict(true), Verdict::Reject("no_match"));
        assert_eq!(counts(100, 0, 49).verdict(true), Verdict::Ask("low_match_rate"));
        assert_eq!(counts(100, 6, 94).verdict(true), Verdict::Ask("many_bad_rows"));
        assert_eq!(counts(100, 5, 95).verdict(true), Verdict::Import);
        assert_eq!(counts(100, 0, 100).verdict(false), Verdict::Ask(""));
        assert_eq!(counts(0, 0, 0).verdict(true), Verdict::Reject("no_match"));
    }

    #[test]
    fn a_header_is_read_by_mapping_and_by_name() {
        let mapping = BTreeMap::from([("Plan name".to_owned(), String::new())]);
        let (layout, join) =
            Layout::read(&["customerID", "MonthlyCharges", "Plan name", "Period"], &mapping, None).unwrap();
        assert_eq!((layout.key, layout.period, join), (0, Some(3), JoinKey::ExternalId));
        assert_eq!(layout.columns, [(1, "monthly_charges".to_owned())]);
        assert_eq!(Layout::read(&["a", "b"], &mapping, None), Err("no_key_column"));
        assert_eq!(Layout::read(&["id", "b", "B"], &mapping, None), Err("unreadable"));
    }
}
