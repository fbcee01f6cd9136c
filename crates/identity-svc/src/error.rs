//! What can go wrong in identity, in its own terms.

use std::time::Duration;

use kit::{Code, Coded, Fault, FieldError};

use crate::secrets::VaultError;
use crate::workos::ProviderError;

/// The result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("{}", first(.0))]
    Wrong(Vec<FieldError>),
    /// The state of things forbids it: a slug and a sentence.
    #[error("{1}")]
    Refused(&'static str, &'static str),
    #[error("this is not yours to do")]
    Forbidden,
    /// One answer for everything that is wrong with a sign-in.
    #[error("the address or the code is wrong, or the code is too old")]
    SignIn,
    /// One answer for everything that is wrong with a refresh token.
    #[error("sign in again")]
    Refresh,
    #[error("the session has ended")]
    SessionEnded,
    #[error("the key is not valid")]
    Key,
    #[error("too many tries; wait before the next one")]
    Throttled(Duration),
    /// Not signed by who it says it is from, or too long ago.
    #[error("the signature is missing, wrong or too old")]
    BadSignature,
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("a secret cannot be read")]
    Vault(#[from] VaultError),
}

impl Error {
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
            Self::Fault(e) => e.code(),
            Self::Wrong(_) => (Code::Invalid, "invalid_request"),
            Self::Refused(slug, _) => (Code::Refused, slug),
            Self::Forbidden => (Code::Forbidden, "forbidden"),
            Self::SignIn => (Code::Unauthenticated, "sign_in_failed"),
            Self::Refresh => (Code::Unauthenticated, "refresh_refused"),
            Self::SessionEnded => (Code::Unauthenticated, "session_ended"),
            Self::Key => (Code::Unauthenticated, "invalid_api_key"),
            Self::Throttled(_) => (Code::Limited, "rate_limited"),
            Self::BadSignature => (Code::Unauthenticated, "bad_signature"),
            Self::Provider(e) => match e {
                ProviderError::None => (Code::Refused, "sso_unavailable"),
                ProviderError::NotFound | ProviderError::Refused(_) => {
                    (Code::Refused, "sso_provider_refused")
                }
                ProviderError::Denied(_) => (Code::Unauthenticated, "sign_in_failed"),
                ProviderError::Throttled(_)
                | ProviderError::Down(_)
                | ProviderError::Http(_)
                | ProviderError::Credentials
                | ProviderError::Unreadable(_) => (Code::Unavailable, "identity_provider_unavailable"),
            },
            Self::Vault(_) => (Code::Internal, "secret_unreadable"),
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        match self {
            Self::Wrong(fields) => fields.clone(),
            Self::Store(e) => e.fields(),
            Self::Fault(f) => f.fields(),
            _ => Vec::new(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(after) => Some(*after),
            Self::Store(e) => e.retry_after(),
            Self::Provider(ProviderError::Throttled(after)) => *after,
            Self::Provider(e) if e.is_passing() => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl store::transaction::Retryable for Error {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(e) if e.is_retryable())
    }
}
