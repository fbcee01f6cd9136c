//! What comes of a call.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;

/// What came back.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// How long the server asks us to wait, where it says so in seconds.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// Not sent: an address that may not be called, or a request that cannot be written.
    #[error("{0}")]
    Address(String),
    /// Not sent: the host failed too often of late.
    #[error("the host failed too often; calls to it are held back for a while")]
    CircuitOpen,
    /// Not sent: the account was asked as often as it may be.
    #[error("the account may not be asked more often just now")]
    Held { after: Duration },
    /// No answer in time. It may have been carried out.
    #[error("no answer in time")]
    Timeout,
    /// The connection could not be made, or broke. It may have been carried out.
    #[error("the connection failed: {0}")]
    Transport(String),
    #[error("the answer is larger than may be read")]
    TooLarge,
}

impl HttpError {
    /// Whether the same call may succeed later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Timeout | Self::Transport(_))
    }

    pub(crate) fn of(error: reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        // The URL may hold a token.
        let error = error.without_url();
        let causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
        Self::Transport(causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}")))
    }
}
