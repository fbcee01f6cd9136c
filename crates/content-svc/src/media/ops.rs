//! What can be done with files that are there.

use std::sync::Arc;
use std::time::Duration;

use connect::objects::{ObjectError, ObjectKey, Objects as Files};
use kit::locale::LocalText;
use kit::{Caller, Code, Fault, Outgoing, Page, PageRequest, Scope, SharedClock};
use moka::future::Cache;
use store::Stored;
use tokio::sync::Semaphore;

use super::model::{Media, State, hash_in};
use super::serve::Place;
use super::store::MediaStore;
use crate::error::Error;
use crate::events;

/// How many files come in at once: each is held in memory.
const INTAKE: usize = 4;
/// How many pictures are unfolded at once.
const LOOKING: usize = 1;
/// How long it is believed that a picture is public. One that is deleted is served so much longer by other replicas.
const BELIEVED: Duration = Duration::from_secs(5);
/// How long it is believed that there is none.
const MISSED: Duration = Duration::from_secs(1);
/// After how long a file whose sender fell silent is given up: longer than one may take.
const STRANDED: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// How long the bytes of an archived one are kept.
const GRACE: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The company's files.
#[derive(Clone)]
pub struct MediaRoom {
    pub(super) store: MediaStore,
    pub(super) files: Files,
    pub(super) clock: SharedClock,
    pub(super) intake: Arc<Semaphore>,
    pub(super) looking: Arc<Semaphore>,
    pub(super) known: Cache<String, Arc<Place>>,
    pub(super) missed: Cache<String, ()>,
}

impl MediaRoom {
    pub fn new(store: MediaStore, files: Files, clock: SharedClock) -> Self {
        Self {
            store,
            files,
            clock,
            intake: Arc::new(Semaphore::new(INTAKE)),
            looking: Arc::new(Semaphore::new(LOOKING)),
            known: Cache::builder().max_capacity(20_000).time_to_live(BELIEVED).build(),
            missed: Cache::builder().max_capacity(20_000).time_to_live(MISSED).build(),
        }
    }

    /// One of them.
    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Stored<Media>, Error> {
        Ok(self.store.get(caller.scope()?, id).await?)
    }

    /// One page, newest first.
    pub async fn list(
        &self,
        caller: &Caller,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Media>>, Error> {
        Ok(self.store.list(caller.scope()?, state, page).await?)
    }

    /// Changes the name, or what is said in the picture's place: `alt` is what it is to be, or to be nothing.
    pub async fn edit(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        name: Option<String>,
        alt: Option<Option<LocalText>>,
    ) -> Result<Stored<Media>, Error> {
        let read = self.get(caller, id).await?;
        if read.version != version {
            return Err(Error::Stale);
        }
        if read.body.state == State::Archived {
            return Err(Error::Archived);
        }
        let before = read.body.clone();
        let changed =
            Media { name: name.unwrap_or(before.name), alt: alt.unwrap_or(before.alt), ..read.body.clone() };
        if changed == read.body {
            return Ok(read);
        }
        let audit = self.audit(caller, &read.scope, id, "update");
        Ok(self.store.replace(&read, changed, audit).await?)
    }

    /// Takes one out of use that nothing uses, as it was read: whoever publishes it meanwhile writes to it, and then this
    /// does not. Twice is once.
    pub async fn archive(&self, caller: &Caller, read: &Stored<Media>) -> Result<Stored<Media>, Error> {
        match read.body.state {
            State::Archived => return Ok(read.clone()),
            State::Uploading | State::Scanning => {
                return Err(Fault::new(Code::Refused, "media_not_ready", "it is still coming in").into());
            }
            State::Ready | State::Rejected => {}
        }
        let audit = self.audit(caller, &read.scope, &read.id, "delete");
        let gone = self.store.replace(read, read.body.clone().archived(), audit).await?;
        for hash in &gone.body.hashes {
            self.known.invalidate(hash).await;
        }
        Ok(gone)
    }

    /// Those of these ids, or at one of these addresses, that can be used.
    pub async fn ready(
        &self,
        scope: &Scope,
        ids: &[&str],
        urls: &[&str],
    ) -> Result<Vec<Stored<Media>>, Error> {
        let hashes: Vec<&str> = urls.iter().filter_map(|url| hash_in(url)).collect();
        if ids.is_empty() && hashes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.store.ready(scope, ids, &hashes).await?)
    }

    /// Makes public what is about to be published. Before it is: a page never shows a picture nobody may see.
    pub async fn publish(&self, scope: &Scope, shown: &[Stored<Media>]) -> Result<(), Error> {
        for media in shown {
            if !self.store.mark(scope, &media.id, self.clock.now()).await? {
                let text = format!("{} was deleted meanwhile", media.id);
                return Err(Fault::new(Code::Conflict, "media_missing", text).into());
            }
            for hash in &media.body.hashes {
                self.missed.invalidate(hash).await;
            }
        }
        Ok(())
    }

    /// The same file in another mode of the company, put there where it is not yet.
    pub async fn copied(&self, caller: &Caller, from: &Stored<Media>, id: String) -> Result<String, Error> {
        let scope = caller.scope()?;
        if let Some(there) = self.store.ready_as(scope, &from.body.hash).await? {
            return Ok(there.id);
        }
        for hash in &from.body.hashes {
            let bytes = self.files.bytes(&object(&from.scope, hash)?, super::intake::LARGEST).await;
            self.files.put(&object(scope, hash)?, bytes.map_err(lost)?).await.map_err(lost)?;
        }
        let audit = self.audit(caller, scope, &id, "create");
        let copy = Media { published_at: None, ..from.body.clone() };
        match self.store.insert(scope, id, copy, audit).await {
            // Its copy was archived, or somebody uploads the same: a new one, or theirs.
            Err(store::Error::Duplicate(_)) => match self.store.ready_as(scope, &from.body.hash).await? {
                Some(there) => Ok(there.id),
                None => Err(Error::Archived),
            },
            other => Ok(other?.id),
        }
    }

    /// Gives up what was not sent to its end, and removes the bytes of what was deleted; how many. Done by a schedule.
    pub async fn tidy(&self) -> Result<u64, Error> {
        let now = self.clock.now();
        let mut done = 0;
        for read in self.store.stranded(now - STRANDED).await? {
            self.store.remove(&read).await?;
            done += 1;
        }
        for read in self.store.to_empty(now - GRACE).await? {
            for hash in &read.body.hashes {
                if !self.store.is_held(&read.scope, hash).await? {
                    self.files.delete(&object(&read.scope, hash)?).await.map_err(lost)?;
                }
            }
            self.store.replace(&read, Media { emptied: true, ..read.body.clone() }, Vec::new()).await?;
            done += 1;
        }
        Ok(done)
    }

    pub(super) fn audit(&self, caller: &Caller, scope: &Scope, id: &str, act: &str) -> Vec<Outgoing> {
        vec![events::audited(caller, scope, self.clock.now(), "media", id, act)]
    }
}

/// Where the bytes of a hash lie.
pub(super) fn object(scope: &Scope, hash: &str) -> Result<ObjectKey, Error> {
    let name = format!("{}/{}/media/{hash}", scope.company, scope.mode.as_str());
    let key = ObjectKey::parse(&name);
    key.ok_or_else(|| Fault::internal(anyhow::anyhow!("{name} is no name of an object")).into())
}

pub(super) fn lost(error: ObjectError) -> Error {
    match error {
        ObjectError::TooLarge => Fault::new(Code::TooLarge, "too_large", "a file has at most 10 MB").into(),
        other => Fault::unavailable("object_store_unavailable", other).into(),
    }
}
