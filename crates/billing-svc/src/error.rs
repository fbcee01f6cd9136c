//! What can go wrong in billing, in its own terms.

use std::time::Duration;

use kit::{Code, Coded, Fault, FieldError};

use crate::offer::Reason;
use crate::providers::{ProviderError, Rejected};
use crate::redemption::NoWay;
use crate::secrets::VaultError;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("{}", first(.0))]
    Wrong(Vec<FieldError>),
    #[error("the version you read is stale")]
    Stale,
    /// The state of things forbids it: a slug and a sentence.
    #[error("{1}")]
    Refused(&'static str, String),
    #[error("no billing provider is connected")]
    NotConnected,
    #[error("the call does not carry a valid signature of the provider")]
    BadSignature,
    #[error("another change of this is under way; try again in a moment")]
    Busy,
    #[error("a secret cannot be read")]
    Vault(#[from] VaultError),
    #[error(transparent)]
    NoWay(#[from] NoWay),
}

impl Error {
    /// The first of the reasons, as the refusal; `reasons` is not empty.
    pub fn reasons(reasons: Vec<Reason>) -> Self {
        let text: Vec<_> = reasons.iter().map(|r| r.message.as_str()).collect();
        let code = reasons.first().map_or("not_eligible", |r| r.code);
        Self::Refused(code, text.join("; "))
    }

    pub fn field(path: &str, code: &str, message: impl Into<String>) -> Self {
        Self::Wrong(vec![FieldError::new(path, code, message)])
    }

    pub fn slug(&self) -> &'static str {
        self.code().1
    }
}

fn first(fields: &[FieldError]) -> String {
    match fields {
        [one] => format!("{}: {}", one.field, one.message),
        many => format!("{} fields are wrong", many.len()),
    }
}

impl Coded for Error {
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::Store(e) => e.code(),
            Self::Provider(e) => e.code(),
            Self::Fault(e) => e.code(),
            Self::Wrong(_) => (Code::Invalid, "invalid_request"),
            Self::Stale => (Code::Conflict, "stale_version"),
            Self::Refused(slug, _) => (Code::Refused, slug),
            Self::NotConnected => (Code::Refused, "not_connected"),
            Self::BadSignature => (Code::Unauthenticated, "bad_signature"),
            Self::Busy => (Code::Conflict, "change_in_progress"),
            Self::Vault(_) => (Code::Internal, "secret_unreadable"),
            Self::NoWay(_) => (Code::Refused, "wrong_state"),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Wrong(fields) => fields.clone(),
            Self::Fault(f) => f.fields(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(e) => e.retry_after(),
            Self::Busy => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

impl From<Rejected> for Error {
    fn from(why: Rejected) -> Self {
        match why {
            Rejected::Signature(_) | Rejected::OtherMode => Self::BadSignature,
            Rejected::Unsigned(text) => Self::field("body", "unsigned", text),
            Rejected::Unreadable(text) => Self::field("body", "unreadable", text),
        }
    }
}
