//! What can go wrong with a provider.

use std::time::Duration;

use kit::{Code, Coded};

/// Why a provider did not do, or say, what we asked.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The key is not, or no longer, valid: the connection is to be marked so.
    #[error("the billing provider does not accept our credentials any more")]
    Revoked,
    /// The key is valid and may not do this.
    #[error("our key at the billing provider lacks a right: {0}")]
    LacksRight(String),
    #[error("the billing provider has no such {0}")]
    NotFound(&'static str),
    /// The provider understood and said no. Asking again changes nothing.
    #[error("the billing provider refused: {message}")]
    Refused { slug: String, message: String },
    /// Not possible with this provider, or not for this subscription as it stands: the condition's slug.
    #[error("this is not possible at the billing provider: {0}")]
    NotOffered(&'static str),
    /// One key for two different acts: a fault of ours.
    #[error("the idempotency key was used for another act")]
    KeyReused,
    /// Asked too often, or the object is being changed by somebody else.
    #[error("the billing provider asks us to wait")]
    Busy { after: Option<Duration> },
    /// No answer, or none that says what became of the request: it may have been done. Ask again with the same key.
    #[error("the billing provider does not answer")]
    Unavailable(#[source] anyhow::Error),
    /// An answer we cannot read.
    #[error("the billing provider answered something unreadable")]
    Unreadable(#[source] anyhow::Error),
}

impl ProviderError {
    /// Whether the same request, with the same key, may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unavailable(_))
    }

    /// Whether the act may have been done although we got no good answer: read back before believing anything.
    pub fn is_uncertain(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unreadable(_) | Self::Busy { .. })
    }

    /// A stable slug, for redemptions and logs.
    pub fn slug(&self) -> &'static str {
        self.code().1
    }
}

impl Coded for ProviderError {
    fn code(&self) -> (Code, &'static str) {
        match self {
            Self::Revoked => (Code::Refused, "provider_credentials_revoked"),
            Self::LacksRight(_) => (Code::Refused, "provider_right_missing"),
            Self::NotFound(_) => (Code::NotFound, "not_at_provider"),
            Self::Refused { .. } => (Code::Refused, "provider_refused"),
            Self::NotOffered(slug) => (Code::Refused, slug),
            Self::KeyReused => (Code::Internal, "idempotency_key_reused"),
            Self::Busy { .. } => (Code::Unavailable, "provider_busy"),
            Self::Unavailable(_) => (Code::Unavailable, "provider_unavailable"),
            Self::Unreadable(_) => (Code::Internal, "provider_unreadable"),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { after } => *after,
            _ => None,
        }
    }
}
