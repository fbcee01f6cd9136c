//! Where waiting events become one insert. There is no timer: whoever gets a turn writes what waits, its own and the
//! others', and each is answered after the majority write. Alone it costs what a single insert costs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use kit::Scope;
use tokio::sync::{Semaphore, oneshot};

use super::model::Event;
use super::store::EventStore;

/// How many events one insert holds at most, how many inserts run at once, and how many events may wait.
const TOGETHER: usize = 500;
const TURNS: usize = 2;
const WAITING: usize = 5_000;

type Answer = Result<(), store::Error>;

struct Waiting {
    scope: Scope,
    id: String,
    event: Event,
    answer: oneshot::Sender<Answer>,
}

pub struct Gate {
    store: EventStore,
    waiting: Mutex<VecDeque<Waiting>>,
    turns: Semaphore,
}

impl Gate {
    pub fn new(store: EventStore) -> Self {
        Self { store, waiting: Mutex::default(), turns: Semaphore::new(TURNS) }
    }

    /// Keeps one event. A queue that is full says so at once; the provider sends again.
    pub async fn insert(&self, scope: Scope, id: String, event: Event) -> Answer {
        let (answer, mut answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= WAITING {
                return Err(store::Error::Full);
            }
            waiting.push_back(Waiting { scope, id, event, answer });
        }
        loop {
            tokio::select! {
                biased;
                // Whoever wrote it went away before it could answer: it may be kept or not, and sending again is safe.
                done = &mut answered => return done.unwrap_or(Err(store::Error::Busy)),
                turn = self.turns.acquire() => {
                    let batch = self.batch();
                    if batch.is_empty() {
                        // Somebody else is writing ours.
                        drop(turn);
                        return (&mut answered).await.unwrap_or(Err(store::Error::Busy));
                    }
                    self.write(batch).await;
                }
            }
        }
    }

    fn batch(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(TOGETHER);
        waiting.drain(..count).collect()
    }

    async fn write(&self, batch: Vec<Waiting>) {
        let (records, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|w| ((w.scope, w.id, w.event), w.answer)).unzip();
        metrics::histogram!("inbound_insert_events").record(records.len() as f64);
        match self.store.insert_all(records).await {
            Ok(each) => {
                for (answer, done) in answers.into_iter().zip(each) {
                    // Nobody waits for it any more: no harm.
                    answer.send(done).ok();
                }
            }
            Err(e) => {
                tracing::error!(error = %e, "received events cannot be kept: {e}");
                let mut error = Some(e);
                for answer in answers {
                    answer.send(Err(error.take().unwrap_or(store::Error::Busy))).ok();
                }
            }
        }
    }
}
