//! What is done with exports.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use connect::objects::{Object, ObjectKey, Objects};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use kit::{Caller, PageRequest, Scope, SharedClock};
use serde_json::json;
use store::jobs::{Failure, Order, Running, Work};
use store::{Jobs, Stored};

use super::file::{head, row};
use super::model::{Export, State, Wanted};
use super::store::ExportStore;
use crate::customers::{Customers, Filter};
use crate::error::{Error, Result};
use crate::events::Stamp;

/// The kind of job that exports.
pub const KIND: &str = "customer_export";
/// The largest file.
const LARGEST: u64 = 16 * 1024 * 1024 * 1024;

/// The use cases of exports.
#[derive(Clone)]
pub struct Exports {
    store: ExportStore,
    customers: Customers,
    objects: Objects,
    jobs: Jobs,
    clock: SharedClock,
}

impl Exports {
    pub fn new(
        store: ExportStore,
        customers: Customers,
        objects: Objects,
        jobs: Jobs,
        clock: SharedClock,
    ) -> Self {
        Self { store, customers, objects, jobs, clock }
    }

    pub async fn get(&self, caller: &Caller, id: &str) -> Result<Stored<Export>> {
        personal(caller)?;
        let read = self.store.get(caller.scope()?, id).await?;
        // The sweep may not have come by yet.
        let over = read.body.state == State::Ready && !read.body.is_there(self.clock.now());
        let state = if over { State::Expired } else { read.body.state };
        Ok(Stored { body: Export { state, ..read.body.clone() }, ..read })
    }

    /// Begins an export, or answers the one that is under way or ready.
    pub async fn begin(&self, caller: &Caller, wanted: Wanted, fresh: bool) -> Result<Stored<Export>> {
        personal(caller)?;
        let scope = caller.scope()?;
        for _ in 0..8 {
            if let Some(known) = self.store.of_key(scope, &wanted.key()).await? {
                let waits = matches!(known.body.state, State::Queued | State::Running);
                if waits || (known.body.is_there(self.clock.now()) && !fresh) {
                    if waits {
                        // A crash may have come between record and job.
                        self.queue(scope, &known.id).await?;
                    }
                    return Ok(known);
                }
                self.retire(&known, State::Expired).await?;
            }
            let id = kit::id::new("exp");
            let export = Export {
                key: wanted.key(),
                wanted: wanted.clone(),
                state: State::Queued,
                rows: 0,
                bytes: 0,
                asked_by: caller.actor.id.clone(),
                ready_at: None,
                expires_at: None,
            };
            let events = self.audited(caller, scope, &id, 1, "customer_export.create", &export);
            match self.store.insert(scope, id, export, events).await {
                Ok(made) => {
                    self.queue(scope, &made.id).await?;
                    return Ok(made);
                }
                Err(store::Error::Duplicate(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    async fn queue(&self, scope: &Scope, id: &str) -> Result<()> {
        self.jobs.enqueue(scope, Order::new(KIND, id, bson::Document::new())).await?;
        Ok(())
    }

    fn audited(
        &self,
        caller: &Caller,
        scope: &Scope,
        id: &str,
        sequence: i64,
        action: &str,
        export: &Export,
    ) -> Vec<kit::Outgoing> {
        let stamp = Stamp { scope, subject: id, sequence, at: self.clock.now() };
        let Wanted { format, state, tag } = &export.wanted;
        let what = json!({
            "format": format.as_str(),
            "state": state.map(crate::customers::State::as_str),
            "tag": tag,
            "rows": export.rows,
            "personal": true,
        });
        stamp.audited(caller, "customer_export", action, None, Some(&what)).into_iter().collect()
    }

    /// Writes the file. Nobody sees half of it: after a crash it is written anew.
    pub async fn run(&self, scope: &Scope, id: &str) -> Result<()> {
        let read = self.store.get(scope, id).await?;
        if !matches!(read.body.state, State::Queued | State::Running) {
            return Ok(());
        }
        let running = Export { state: State::Running, ..read.body.clone() };
        let read = self.store.replace(&read, running, Vec::new()).await?;
        let rows = Arc::new(AtomicI64::new(0));
        let pieces = self.pieces(scope, &read.body.wanted, rows.clone()).await?;
        let bytes = self.objects.put_stream(&object(scope, id)?, std::pin::pin!(pieces), LARGEST).await;
        let bytes = i64::try_from(bytes.map_err(lost)?).unwrap_or(i64::MAX);
        let next = read.body.ready(rows.load(Ordering::Relaxed), bytes, self.clock.now());
        match self.store.replace(&read, next, Vec::new()).await {
            Ok(_) => Ok(()),
            // Recalled while it was written: the file goes, too.
            Err(e @ store::Error::Stale(_)) => {
                self.objects.delete(&object(scope, id)?).await.map_err(lost)?;
                Err(e.into())
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The file a page at a time.
    async fn pieces(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        rows: Arc<AtomicI64>,
    ) -> Result<impl Stream<Item = std::result::Result<Bytes, anyhow::Error>> + Send + 'static> {
        let definitions = self.customers.definitions(scope).await?;
        let (customers, scope, now, format) =
            (self.customers.clone(), scope.clone(), self.clock.now(), wanted.format);
        let filter = Filter { state: wanted.state, tag: wanted.tag.clone(), ..Filter::default() };
        let first = Bytes::from(head(format, &definitions));
        let page = PageRequest::new(kit::page::MAX_LIMIT, "");
        let pages = stream::try_unfold(Some(page), move |page| {
            let (customers, scope, filter, definitions, rows) =
                (customers.clone(), scope.clone(), filter.clone(), definitions.clone(), rows.clone());
            async move {
                let Some(page) = page else { return Ok(None) };
                let found = customers.store().list(&scope, &filter, &page).await?;
                rows.fetch_add(i64::try_from(found.items.len()).unwrap_or(0), Ordering::Relaxed);
                let text: String = found.items.iter().map(|c| row(format, c, &definitions, now)).collect();
                let next = found.next_cursor.map(|cursor| PageRequest::new(kit::page::MAX_LIMIT, cursor));
                Ok::<_, anyhow::Error>(Some((Bytes::from(text), next)))
            }
        });
        Ok(stream::once(std::future::ready(Ok(first))).chain(pages))
    }

    /// The file, for somebody who fetches it.
    pub async fn download(&self, caller: &Caller, id: &str) -> Result<(Stored<Export>, Object)> {
        personal(caller)?;
        let scope = caller.scope()?;
        for _ in 0..8 {
            let read = self.store.get(scope, id).await?;
            if !read.body.is_there(self.clock.now()) {
                let text = match read.body.state {
                    State::Queued | State::Running => "the file is not ready yet",
                    _ => "the file is not there any more: ask for a new one",
                };
                return Err(Error::Refused("export_not_ready", text.into()));
            }
            let file = self.objects.get(&object(scope, id)?).await.map_err(lost)?;
            let action = "customer_export.download";
            let events = self.audited(caller, scope, id, read.version + 1, action, &read.body);
            match self.store.replace(&read, read.body.clone(), events).await {
                Ok(stored) => return Ok((stored, file)),
                Err(store::Error::Stale(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(Error::Busy)
    }

    /// Takes files away whose time is over. Done by a schedule.
    pub async fn expire(&self) -> Result<u64> {
        let mut gone = 0;
        for read in self.store.over_by(self.clock.now()).await? {
            self.retire(&read, State::Expired).await?;
            gone += 1;
        }
        Ok(gone)
    }

    /// Takes back every file of a company, made or being made: somebody in it was erased. How many there were.
    pub(crate) async fn recall(&self, scope: &Scope) -> Result<u64> {
        let mut recalled = 0;
        for read in self.store.standing(scope).await? {
            self.retire(&read, State::Expired).await?;
            recalled += 1;
        }
        Ok(recalled)
    }

    async fn retire(&self, read: &Stored<Export>, state: State) -> Result<()> {
        self.objects.delete(&object(&read.scope, &read.id)?).await.map_err(lost)?;
        match self.store.replace(read, read.body.gone(&read.id, state), Vec::new()).await {
            Ok(_) | Err(store::Error::Stale(_)) => Ok(()),
            Err(other) => Err(other.into()),
        }
    }

    /// What does the jobs.
    pub fn worker(&self) -> Arc<dyn Work> {
        Arc::new(Worker(self.clone()))
    }
}

struct Worker(Exports);

#[async_trait]
impl Work for Worker {
    async fn work(&self, job: &Running) -> std::result::Result<(), Failure> {
        let Err(e) = self.0.run(&job.scope, &job.key).await else { return Ok(()) };
        if job.is_last {
            let given_up = async {
                let read = self.0.store.get(&job.scope, &job.key).await?;
                self.0.retire(&read, State::Failed).await
            };
            given_up.await.map_err(|e| Failure::Dead(e.to_string()))?;
        }
        Err(Failure::Retry(format!("{:#}", anyhow::Error::from(e))))
    }
}

/// The file holds names and addresses: only for those who may see them.
fn personal(caller: &Caller) -> Result<()> {
    if caller.sees_personal_data() {
        return Ok(());
    }
    let text = "an export holds personal data, which is not shown to you";
    Err(kit::Fault::new(kit::Code::Forbidden, "personal_data_hidden", text).into())
}

/// Where the file lies.
fn object(scope: &Scope, id: &str) -> Result<ObjectKey> {
    let key = format!("{}/{}/customer-exports/{id}", scope.company, scope.mode.as_str());
    ObjectKey::parse(&key).ok_or_else(|| kit::Fault::not_found("export").into())
}

fn lost(e: connect::objects::ObjectError) -> Error {
    kit::Fault::unavailable("objects_unavailable", e).into()
}

/// Pieces of a file as they are sent on.
pub fn body(object: Object) -> impl Stream<Item = Result<Bytes>> + Send {
    object.body.map_err(lost)
}
