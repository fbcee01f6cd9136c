//! A file on its way in: held in memory, as a picture is unfolded from there anyway, and written down at each step.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use kit::locale::LocalText;
use kit::{Caller, Code, Fault};
use store::Stored;

use super::kind::Kind;
use super::model::Media;
use super::ops::{MediaRoom, lost, object};
use super::picture::{Looked, hash, look};
use crate::error::Error;

/// The largest file.
pub const LARGEST: u64 = 10 * 1024 * 1024;
/// How long a file waits for others to come in.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a picture may take to be looked at.
const LOOKING: Duration = Duration::from_secs(60);

/// What is said of a file before its bytes.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub name: String,
    pub declared: String,
    pub alt: Option<LocalText>,
}

/// What comes after the head.
#[derive(Clone, Debug)]
pub enum Part {
    Chunk(Bytes),
    /// Every byte was sent.
    Scanning,
    /// The scanner found nothing.
    End,
    /// It is not to be kept.
    Rejected(String),
}

/// Why a file is not taken in.
enum Stopped {
    /// For what it is: written down.
    Rejected(&'static str, Error),
    /// It broke off, or something of ours failed: as if it had not been sent.
    Broken(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Broken(fault.into())
    }
}

impl From<store::Error> for Stopped {
    fn from(error: store::Error) -> Self {
        Self::Broken(error.into())
    }
}

impl MediaRoom {
    /// Takes a file in. The same bytes again are the same file: what is there is answered.
    pub async fn upload(
        &self,
        caller: &Caller,
        head: Head,
        parts: impl Stream<Item = Result<Part, tonic::Status>> + Send + Unpin,
    ) -> Result<Stored<Media>, Error> {
        let scope = caller.scope()?;
        let Ok(Ok(_slot)) = tokio::time::timeout(PATIENCE, self.intake.acquire()).await else {
            let text = "too many files are coming in; send it again";
            return Err(Fault::new(Code::Limited, "uploads_busy", text).into());
        };
        let arriving = Media::arriving(head.name.clone(), head.alt.clone());
        let read = self.store.insert(scope, kit::id::new("med"), arriving, Vec::new()).await?;
        match self.take_in(caller, &read, &head, parts).await {
            Ok(media) => Ok(media),
            Err(Stopped::Rejected(why, error)) => {
                // As it stands now: it may have been written on meanwhile.
                let now = self.store.get(scope, &read.id).await?;
                let audit = self.audit(caller, scope, &read.id, "reject");
                self.store.replace(&now, now.body.clone().rejected(why), audit).await?;
                Err(error)
            }
            Err(Stopped::Broken(error)) => {
                self.store.remove(&read).await?;
                Err(error)
            }
        }
    }

    async fn take_in(
        &self,
        caller: &Caller,
        read: &Stored<Media>,
        head: &Head,
        mut parts: impl Stream<Item = Result<Part, tonic::Status>> + Send + Unpin,
    ) -> Result<Stored<Media>, Stopped> {
        let bytes = all(&mut parts).await?;
        let kind = Kind::of(&bytes).and_then(|k| k.agrees_with(&head.declared).map(|()| k));
        let kind = kind.map_err(refused)?;
        let arrived = read.body.clone().arrived(kind, bytes.len(), hash(&bytes));
        let read = self.store.replace(read, arrived, Vec::new()).await?;
        verdict(&mut parts).await?;
        let looked = self.look(kind, bytes.clone()).await?;
        self.keep(caller, read, bytes, looked).await
    }

    /// Where it can be waited for and nobody else is kept waiting.
    async fn look(&self, kind: Kind, bytes: Bytes) -> Result<Looked, Stopped> {
        let slot = self.looking.clone().acquire_owned().await.map_err(Fault::internal)?;
        let looking = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            look(kind, &bytes)
        });
        let looked = tokio::time::timeout(LOOKING, looking).await;
        let late = |_| Fault::new(Code::Deadline, "picture_too_slow", "the picture took too long to read");
        // A decoder that panics is one picture that cannot be read.
        let broken = |_| Fault::new(Code::Invalid, "not_a_picture", "the picture cannot be read");
        looked.map_err(late)?.map_err(broken).map_err(refused)?.map_err(refused)
    }

    async fn keep(
        &self,
        caller: &Caller,
        read: Stored<Media>,
        bytes: Bytes,
        looked: Looked,
    ) -> Result<Stored<Media>, Stopped> {
        let scope = &read.scope;
        // Also where it is there already: what was lost comes back by sending it again.
        self.files.put(&object(scope, &read.body.hash)?, bytes).await.map_err(lost)?;
        let ready = read.body.clone().ready(&looked);
        for made in looked.smaller {
            let key = object(scope, &made.variant.hash)?;
            self.files.put(&key, Bytes::from(made.bytes)).await.map_err(lost)?;
        }
        if let Some(there) = self.store.ready_as(scope, &read.body.hash).await? {
            self.store.remove(&read).await?;
            return Ok(there);
        }
        let audit = self.audit(caller, scope, &read.id, "create");
        match self.store.replace(&read, ready, audit).await {
            // Somebody sent the same at the same time and was faster.
            Err(store::Error::Duplicate(_)) => {
                let there = self.store.ready_as(scope, &read.body.hash).await?;
                self.store.remove(&read).await?;
                Ok(there.ok_or(Error::Stale)?)
            }
            other => Ok(other?),
        }
    }
}

fn refused(fault: Fault) -> Stopped {
    use kit::Coded as _;
    let (_, slug) = fault.code();
    Stopped::Rejected(slug, fault.into())
}

fn broke_off() -> Fault {
    Fault::new(Code::Invalid, "incomplete_body", "the file did not arrive whole")
}

/// Every byte, up to the mark that there are no more.
async fn all(
    parts: &mut (impl Stream<Item = Result<Part, tonic::Status>> + Unpin),
) -> Result<Bytes, Stopped> {
    let mut bytes = BytesMut::new();
    loop {
        match parts.next().await {
            Some(Ok(Part::Chunk(chunk))) => {
                if (bytes.len() + chunk.len()) as u64 > LARGEST {
                    return Err(lost(connect::objects::ObjectError::TooLarge).into());
                }
                bytes.extend_from_slice(&chunk);
            }
            Some(Ok(Part::Scanning)) => return Ok(bytes.freeze()),
            Some(Ok(Part::Rejected(_))) => return Err(malware()),
            Some(Ok(Part::End) | Err(_)) | None => return Err(broke_off().into()),
        }
    }
}

/// What the scanner says.
async fn verdict(
    parts: &mut (impl Stream<Item = Result<Part, tonic::Status>> + Unpin),
) -> Result<(), Stopped> {
    match parts.next().await {
        Some(Ok(Part::End)) => Ok(()),
        Some(Ok(Part::Rejected(_))) => Err(malware()),
        _ => Err(broke_off().into()),
    }
}

fn malware() -> Stopped {
    refused(Fault::new(Code::Invalid, "malware_found", "the scanner found malware in the file"))
}
