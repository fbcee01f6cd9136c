//! What can go wrong here, in the words of the field.

use kit::{Code, Coded, FieldError};

use crate::rules::Wrong;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Fault(#[from] kit::Fault),
    #[error("{0}")]
    PersonaState(&'static str),
    #[error("the category is used by a persona or by another category")]
    CategoryInUse,
    #[error("{0}")]
    UploadState(&'static str),
    #[error("a later upload touched the same rows")]
    TouchedLater,
    #[error("a dataset's columns can be added, not changed")]
    ColumnsChanged,
    #[error("{message}")]
    Field { field: String, code: &'static str, message: String },
    #[error("the object store does not answer")]
    Objects(#[from] connect::objects::ObjectError),
    #[error("something failed on our side")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    pub fn field(field: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::Field { field: field.into(), code, message: message.into() }
    }

    /// A rule tree that cannot be kept, at its place in the request.
    pub fn rule(wrong: Wrong) -> Self {
        Self::field(format!("rule{}", wrong.path), wrong.code, wrong.message)
    }

    /// Nothing of that kind and id, or another company's.
    pub fn not_found(what: &str) -> Self {
        Self::Fault(kit::Fault::not_found(what))
    }

    /// Whether somebody else changed the same record in between.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Store(e) if e.code().1 == "stale_version")
    }
}

impl PartialEq for Error {
    /// Errors are the same when programs cannot tell them apart.
    fn eq(&self, other: &Self) -> bool {
        self.code() == other.code()
    }
}

impl Coded for Error {
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::Store(e) => e.code(),
            Self::Fault(e) => e.code(),
            Self::PersonaState(_) => (Code::Refused, "persona_state"),
            Self::CategoryInUse => (Code::Refused, "category_in_use"),
            Self::UploadState(_) => (Code::Refused, "upload_state"),
            Self::TouchedLater => (Code::Refused, "touched_later"),
            Self::ColumnsChanged => (Code::Refused, "columns_changed"),
            Self::Field { .. } => (Code::Invalid, "invalid_request"),
            Self::Objects(_) => (Code::Unavailable, "objects_unavailable"),
            Self::Internal(_) => (Code::Internal, "internal"),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Store(e) => e.fields(),
            Self::Fault(e) => e.fields(),
            Self::Field { field, code, message } => {
                vec![FieldError::new(field.clone(), *code, message.clone())]
            }
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Store(e) => e.retry_after(),
            _ => None,
        }
    }
}

impl From<anyhow::Error> for Error {
    fn from(e: anyhow::Error) -> Self {
        Self::Internal(e)
    }
}
