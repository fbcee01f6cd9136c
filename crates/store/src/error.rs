//! What a store can say, in the form every service passes on.

use std::time::Duration;

use kit::error::{Code, Coded, FieldError};

/// Why a read or write did not happen. Another company's record is `NotFound`, as if it were not there.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no such {0}")]
    NotFound(&'static str),
    #[error("the {0} has changed since you read it; read it again and repeat the change")]
    Stale(&'static str),
    #[error("there is such a {0} already")]
    Duplicate(&'static str),
    #[error("the cursor does not belong to this list")]
    Cursor,
    #[error("somebody else is changing this; try again shortly")]
    Busy,
    #[error("too much is waiting to be written; try again shortly")]
    Full,
    #[error("the database does not answer")]
    Unavailable(#[source] mongodb::error::Error),
    #[error("the database refused")]
    Database(#[source] mongodb::error::Error),
    #[error("a stored document cannot be read or written")]
    Document(#[source] bson::error::Error),
}

/// What a server says that is no primary any more, not yet one, or on its way out:
/// <https://github.com/mongodb/specifications/blob/master/source/server-discovery-and-monitoring/server-discovery-and-monitoring.md#error-handling>.
const MOVING: [i32; 7] = [91, 189, 10_107, 11_600, 11_602, 13_435, 13_436];

impl Error {
    /// Sorts a driver's error; `noun` names the record for the caller.
    pub fn of(error: mongodb::error::Error, noun: &'static str) -> Self {
        use mongodb::error::ErrorKind;
        if is_duplicate(&error) {
            return Self::Duplicate(noun);
        }
        match *error.kind {
            ErrorKind::Command(ref e) if MOVING.contains(&e.code) => Self::Unavailable(error),
            ErrorKind::ServerSelection { .. }
            | ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. } => Self::Unavailable(error),
            _ => Self::Database(error),
        }
    }
}

/// Whether a unique index stood in the way.
pub(crate) fn is_duplicate(error: &mongodb::error::Error) -> bool {
    use mongodb::error::{ErrorKind, WriteFailure};
    match error.kind.as_ref() {
        ErrorKind::Write(WriteFailure::WriteError(e)) => e.code == 11_000,
        ErrorKind::Command(e) => e.code == 11_000,
        ErrorKind::InsertMany(e) => e.write_errors.iter().flatten().any(|e| e.code == 11_000),
        _ => false,
    }
}

impl From<bson::error::Error> for Error {
    fn from(error: bson::error::Error) -> Self {
        Self::Document(error)
    }
}

impl Coded for Error {
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::NotFound(_) => (Code::NotFound, "not_found"),
            Self::Stale(_) => (Code::Conflict, "stale_version"),
            Self::Duplicate(_) => (Code::Conflict, "already_exists"),
            Self::Cursor => (Code::Invalid, "invalid_request"),
            Self::Busy => (Code::Conflict, "busy"),
            Self::Full => (Code::Limited, "queue_full"),
            Self::Unavailable(_) => (Code::Unavailable, "unavailable"),
            Self::Database(_) | Self::Document(_) => (Code::Internal, "internal"),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Cursor => vec![FieldError::new("cursor", "cursor.foreign", self.to_string())],
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        matches!(self, Self::Busy | Self::Full | Self::Unavailable(_)).then_some(Duration::from_secs(1))
    }
}
