//! Mails as files, one `.eml` each: what a machine without a mail server has for a mailbox.

use std::path::PathBuf;

use anyhow::Context as _;
use async_trait::async_trait;

use super::message::Envelope;
use super::send::{SendError, Sender};

pub struct Files {
    folder: PathBuf,
}

impl Files {
    pub async fn open(folder: PathBuf) -> anyhow::Result<Self> {
        tokio::fs::create_dir_all(&folder)
            .await
            .with_context(|| format!("failed to make the mail folder {}", folder.display()))?;
        Ok(Self { folder })
    }
}

#[async_trait]
impl Sender for Files {
    async fn send(&self, mail: &Envelope) -> Result<(), SendError> {
        let time = mail.created_at.strftime("%Y%m%dT%H%M%S");
        // Made from the mail alone: sent twice, it is still one file.
        let name = format!("{time}-{}-{}.eml", mail.template, mail.id);
        let draft = self.folder.join(format!(".{name}.part"));
        let failed = |e: std::io::Error| SendError::Transient(format!("the file cannot be written: {e}"));
        tokio::fs::write(&draft, mail.message.formatted()).await.map_err(failed)?;
        tokio::fs::rename(&draft, self.folder.join(name)).await.map_err(failed)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        tokio::fs::metadata(&self.folder).await.context("the mail folder is gone")?;
        Ok(())
    }
}
