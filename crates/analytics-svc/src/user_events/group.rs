//! Single inserts, grouped: whatever waits while one insert is under way goes into the next one. No timer, so a
//! lone sender waits for nobody.

use std::sync::Arc;

use bson::RawDocumentBuf;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// The most documents of one insert.
const MOST: usize = 1_000;
/// How many callers may wait before more are told to come back.
const QUEUE: usize = 20_000;
/// Inserts under way at once: one is on the wire while the other is in the database.
const IN_FLIGHT: usize = 2;

/// Writes documents, and says of each whether it is new.
pub type Write =
    dyn Fn(Vec<RawDocumentBuf>) -> BoxFuture<'static, Result<Vec<bool>, store::Error>> + Send + Sync;

struct Waiting {
    document: RawDocumentBuf,
    answer: oneshot::Sender<Result<bool, Arc<store::Error>>>,
}

/// The queue in front of the inserts.
#[derive(Clone)]
pub struct Group {
    queue: mpsc::Sender<Waiting>,
    work: Arc<Mutex<Option<mpsc::Receiver<Waiting>>>>,
    write: Arc<Write>,
}

impl Group {
    pub fn new(write: Arc<Write>) -> Self {
        let (queue, work) = mpsc::channel(QUEUE);
        Self { queue, work: Arc::new(Mutex::new(Some(work))), write }
    }

    /// Inserts one document with whatever else waits, and says whether it is new.
    pub async fn insert(&self, document: RawDocumentBuf) -> Result<bool, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Waiting { document, answer }).map_err(|_| busy())?;
        match answered.await {
            Ok(Ok(new)) => Ok(new),
            Ok(Err(cause)) => Err(Error::Fault(kit::Fault::unavailable("unavailable", cause))),
            Err(_) => Err(busy()),
        }
    }

    /// Works until told to stop, then finishes what waits.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { queue, work, write } = self;
        // Ours would keep the channel open; the rooms' clones still feed it.
        drop(queue);
        let Some(mut work) = work.lock().await.take() else { return Ok(()) };
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut next = Vec::new();
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                got = work.recv_many(&mut next, MOST), if under_way.len() < IN_FLIGHT => {
                    if got == 0 {
                        break;
                    }
                    under_way.push(flush(write.clone(), next));
                }
                () = stop.cancelled(), if !work.is_closed() => work.close(),
            }
        }
        while under_way.next().await.is_some() {}
        Ok(())
    }
}

async fn flush(write: Arc<Write>, waiting: Vec<Waiting>) {
    let (documents, answers): (Vec<_>, Vec<_>) = waiting.into_iter().map(|w| (w.document, w.answer)).unzip();
    metrics::histogram!("user_events_group_size")
        .record(f64::from(u32::try_from(answers.len()).unwrap_or(0)));
    // A sender that hung up needs no answer; its event is in nevertheless.
    match write(documents).await {
        Ok(new) => answers.into_iter().zip(new).for_each(|(a, new)| drop(a.send(Ok(new)))),
        Err(e) => {
            let cause = Arc::new(e);
            answers.into_iter().for_each(|a| drop(a.send(Err(cause.clone()))));
        }
    }
}

fn busy() -> Error {
    Error::Fault(kit::Fault::new(kit::Code::Limited, "queue_full", "too many events wait; try again"))
}
