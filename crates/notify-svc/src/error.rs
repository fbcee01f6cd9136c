//! What can go wrong in notify, in its own terms.

use std::time::Duration;

use kit::{Code, Coded, Fault, FieldError};

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("there is no mail template {0}")]
    Template(String),
    #[error("the mail cannot be rendered: {0}")]
    Render(String),
    #[error("identity-svc does not answer")]
    Identity(#[source] Box<tonic::Status>),
}

impl Coded for Error {
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::Store(e) => e.code(),
            Self::Fault(e) => e.code(),
            Self::Template(_) => (Code::Internal, "template_unknown"),
            Self::Render(_) => (Code::Internal, "template_broken"),
            Self::Identity(_) => (Code::Unavailable, "unavailable"),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Store(e) => e.fields(),
            Self::Fault(f) => f.fields(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store(e) => e.retry_after(),
            _ => None,
        }
    }
}
