//! Single inserts, grouped: what waits while one insert is under way goes into the next one, and each caller is
//! answered when its own document is safe with the majority. No timer, so a lone caller waits for nobody.

use std::sync::Arc;

use bson::raw::RawDocumentBuf;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kit::{Outgoing, Scope};
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

/// The queue in front of a repository. Clones feed the same queue; `run` must be a task of the service.
pub struct Inserter<T> {
    repo: Repo<T>,
    queue: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    work: Arc<Mutex<Option<mpsc::Receiver<Waiting>>>>,
}

impl<T> Clone for Inserter<T> {
    fn clone(&self) -> Self {
        let Self { repo, queue, room, work } = self;
        Self { repo: repo.clone(), queue: queue.clone(), room: room.clone(), work: work.clone() }
    }
}

struct Waiting {
    document: RawDocumentBuf,
    answer: oneshot::Sender<Result<()>>,
    _room: OwnedSemaphorePermit,
}

impl<T: Record> Inserter<T> {
    pub fn new(repo: Repo<T>) -> Self {
        let (queue, work) = mpsc::channel(QUEUE);
        Self {
            repo,
            queue,
            room: Arc::new(Semaphore::new(QUEUE_KIB)),
            work: Arc::new(Mutex::new(Some(work))),
        }
    }

    /// As `Repo::insert`, together with whatever else waits. `Full` when too much waits, or the service stops: then
    /// nothing was written.
    pub async fn insert(
        &self,
        scope: &Scope,
        id: String,
        body: T,
        events: Vec<Outgoing>,
    ) -> Result<Stored<T>> {
        // Encoded by the caller: one that cannot be encoded must not spoil the others' insert.
        let (document, stored) = self.repo.new_document(scope, id, body, events)?;
        let kib = u32::try_from(document.as_bytes().len() / 1024 + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(kib).map_err(|_| Error::Full)?;
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { document, answer, _room: room }).map_err(|_| Error::Full)?;
        answered.await.map_err(|_| Error::Full)??;
        Ok(stored)
    }

    /// Writes until told to stop, then finishes what waits.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { repo, queue, room: _, work } = self;
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
                    under_way.push(write(&repo, next));
                }
            }
        }
        while under_way.next().await.is_some() {}
        Ok(())
    }
}

async fn write<T: Record>(repo: &Repo<T>, waiting: Vec<Waiting>) {
    let mut documents = Vec::with_capacity(waiting.len());
    let mut answers = Vec::with_capacity(waiting.len());
    let mut rooms = Vec::with_capacity(waiting.len());
    for Waiting { document, answer, _room } in waiting {
        documents.push(document);
        answers.push(answer);
        rooms.push(_room);
    }
    metrics::histogram!("grouped_inserts", "collection" => T::COLLECTION)
        .record(f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX)));
    // A caller that hung up needs no answer; its document is in nevertheless.
    match repo.insert_documents(documents).await {
        Ok(each) => answers.into_iter().zip(each).for_each(|(a, outcome)| drop(a.send(outcome))),
        Err(e) => answers.into_iter().for_each(|a| drop(a.send(Err(e.clone())))),
    }
}
