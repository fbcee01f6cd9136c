//! The way out, as a port: a mail server or a folder.

use async_trait::async_trait;

use super::message::Envelope;

/// Why a mail did not go out.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The other side will never take it: not tried again.
    #[error("{0}")]
    Permanent(String),
    /// It may work later.
    #[error("{0}")]
    Transient(String),
}

/// Sends one mail. May be called twice for the same one, after a crash: the Message-ID stays the same.
#[async_trait]
pub trait Sender: Send + Sync + 'static {
    async fn send(&self, mail: &Envelope) -> Result<(), SendError>;

    /// Whether the way out is open.
    async fn ready(&self) -> anyhow::Result<()>;
}
