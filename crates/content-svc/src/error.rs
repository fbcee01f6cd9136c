//! What can go wrong in content, in its own terms.

use kit::{Code, Coded, Fault, FieldError};

use crate::text::{Finding, Level};

/// An error of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("it cannot be published: {}", summary(.0))]
    NotPublishable(Vec<Finding>),
    #[error("the answers do not fit: {}", summary(.0))]
    Answers(Vec<Finding>),
    #[error("this offer needs the customer's consent to its terms")]
    ConsentMissing,
    #[error("it is archived")]
    Archived,
    #[error("there is no draft; nothing has changed since the last publishing")]
    NoDraft,
    #[error("the version you read is no longer the newest; read it again")]
    Stale,
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Coded for Error {
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::NotPublishable(_) => (Code::Invalid, "not_publishable"),
            Self::Answers(_) => (Code::Invalid, "invalid_request"),
            Self::ConsentMissing => (Code::Invalid, "consent_required"),
            Self::Archived => (Code::Refused, "archived"),
            Self::NoDraft => (Code::Refused, "no_draft"),
            Self::Stale => (Code::Conflict, "stale_version"),
            Self::Fault(fault) => fault.code(),
            Self::Store(error) => error.code(),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::NotPublishable(findings) | Self::Answers(findings) => {
                let errors = findings.iter().filter(|f| f.level == Level::Error);
                errors.map(|f| FieldError::new(f.field.clone(), f.code, f.message.clone())).collect()
            }
            Self::ConsentMissing => {
                vec![FieldError::new("consent", "consent_required", self.to_string())]
            }
            Self::Fault(fault) => fault.fields(),
            Self::Store(error) => error.fields(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<std::time::Duration> {
        match self {
            Self::Fault(fault) => fault.retry_after(),
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}

fn summary(findings: &[Finding]) -> String {
    let mut errors = findings.iter().filter(|f| f.level == Level::Error);
    let first = errors.next().map_or(String::new(), |f| format!("{}: {}", f.field, f.message));
    match errors.count() {
        0 => first,
        more => format!("{first}, and {more} more"),
    }
}
