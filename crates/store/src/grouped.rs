//! Single inserts, grouped: what waits while one insert is under way goes into the next one, and each caller is
//! answered when its own document is safe with the majority. No timer, so a lone caller waits for nobody.

use std::sync::Arc;

use bson::raw::RawDocumentBuf;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kit::{Outgoing, Scope};
use mongodb::Collection;
use mongodb::error::ErrorKind;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{Error, Record, Repo, Result, Stored};

/// The most documents of one insert.
const MOST: usize = 1_000;
/// How many callers may wait before more are told to come back.
const QUEUE: usize = 20_000;
/// How many KiB may wait, whoever brings them: webhooks can be large.
const QUEUE_KIB: usize = 64 * 1024;
/// Inserts under way at once: one is on the wire while the other is in the database.
const IN_FLIGHT: usize = 2;

/// The queue in front of a collection. Clones feed the same queue; `run` must be a task of the service.
#[derive(Clone)]
pub struct Group {
    target: Target,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    work: Arc<Mutex<Option<mpsc::Receiver<Waiting>>>>,
}

#[derive(Clone)]
struct Target {
    collection: Collection<RawDocumentBuf>,
    noun: &'static str,
}

struct Waiting {
    document: RawDocumentBuf,
    answer: oneshot::Sender<Result<()>>,
    _room: OwnedSemaphorePermit,
}

impl Group {
    /// `noun` names a document in errors.
    pub fn new(collection: Collection<RawDocumentBuf>, noun: &'static str) -> Self {
        let (queue, work) = mpsc::channel(QUEUE);
        let (room, work) = (Arc::new(Semaphore::new(QUEUE_KIB)), Arc::new(Mutex::new(Some(work))));
        Self { target: Target { collection, noun }, queue, room, work }
    }

    /// Inserts a document together with whatever else waits. `Full` when too much waits, or the service stops: then
    /// nothing was written.
    pub async fn insert(&self, document: RawDocumentBuf) -> Result<()> {
        let kib = u32::try_from(document.as_bytes().len() / 1024 + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(kib).map_err(|_| Error::Full)?;
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { document, answer, _room: room }).map_err(|_| Error::Full)?;
        answered.await.map_err(|_| Error::Full)?
    }

    /// Writes until told to stop, then finishes what waits.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { target, queue, room: _, work } = self;
        // Only the callers' clones keep the queue open.
        drop(queue);
        let Some(mut work) = work.lock().await.take() else { return Ok(()) };
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut next = Vec::new();
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                () = stop.cancelled(), if !work.is_closed() => work.close(),
                count = work.recv_many(&mut next, MOST), if under_way.len() < IN_FLIGHT => {
                    if count == 0 {
                        break;
                    }
                    under_way.push(write(&target, next));
                }
            }
        }
        while under_way.next().await.is_some() {}
        Ok(())
    }
}

async fn write(target: &Target, waiting: Vec<Waiting>) {
    let mut documents = Vec::with_capacity(waiting.len());
    let mut answers = Vec::with_capacity(waiting.len());
    let mut rooms = Vec::with_capacity(waiting.len());
    for Waiting { document, answer, _room } in waiting {
        documents.push(document);
        answers.push(answer);
        rooms.push(_room);
    }
    metrics::histogram!("grouped_inserts", "collection" => target.collection.name().to_owned())
        .record(f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX)));
    // A caller that hung up needs no answer; its document is in nevertheless.
    match insert_documents(&target.collection, target.noun, documents).await {
        Ok(each) => answers.into_iter().zip(each).for_each(|(a, outcome)| drop(a.send(outcome))),
        Err(e) => answers.into_iter().for_each(|a| drop(a.send(Err(e.clone())))),
    }
}

/// Inserts documents in one command, unordered; an answer for each, in the order given.
pub async fn insert_documents(
    collection: &Collection<RawDocumentBuf>,
    noun: &'static str,
    documents: Vec<RawDocumentBuf>,
) -> Result<Vec<Result<()>>> {
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let mut answers: Vec<Result<()>> = documents.iter().map(|_| Ok(())).collect();
    let Err(error) = collection.insert_many(documents).ordered(false).await else { return Ok(answers) };
    let failed = match error.kind.as_ref() {
        ErrorKind::InsertMany(many) if many.write_concern_error.is_none() => many.write_errors.clone(),
        _ => None,
    };
    let Some(failed) = failed else { return Err(Error::of(error, noun)) };
    for one in failed {
        if let Some(answer) = answers.get_mut(one.index) {
            let duplicate = one.code == 11_000;
            *answer = Err(if duplicate { Error::Duplicate(noun) } else { Error::Database(error.clone()) });
        }
    }
    Ok(answers)
}

/// Grouped inserts of a repository's records.
pub struct Inserter<T> {
    repo: Repo<T>,
    group: Group,
}

impl<T> Clone for Inserter<T> {
    fn clone(&self) -> Self {
        Self { repo: self.repo.clone(), group: self.group.clone() }
    }
}

impl<T: Record> Inserter<T> {
    pub fn new(repo: Repo<T>) -> Self {
        Self { group: Group::new(repo.raw.clone(), T::NOUN), repo }
    }

    /// As `Repo::insert`, together with whatever else waits.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<Stored<T>> {
        let tells = !events.is_empty();
        // Encoded by the caller: one that cannot be encoded must not spoil the others' insert.
        let (document, stored) = self.repo.new_document(scope, id, body, events)?;
        self.group.insert(document).await?;
        Repo::<T>::wake(tells);
        Ok(stored)
    }

    /// Writes until told to stop, then finishes what waits.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        self.group.run(stop).await
    }
}
