//! What is done with imports by file.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use connect::objects::{ObjectError, Objects};
use futures_util::{Stream, TryStreamExt};
use kit::{Caller, Page, PageRequest, Scope, SharedClock};
use serde_json::json;
use store::jobs::{Failure, Order, Running, Work};
use store::{Jobs, Stored};
use tokio_util::io::StreamReader;

use super::intake::{lost, object, spool};
use super::mapping::Mapping;
use super::model::{Counts, Format, Import, RowFault, State};
use super::reader::{Rows, Unreadable};
use super::store::ImportStore;
use crate::customers::{Customers, Source, Via};
use crate::error::{Error, Result};
use crate::events::Stamp;

/// The kind of job that imports.
pub const KIND: &str = "customer_import";
/// Rows written together; after each lot it is noted how far it got.
const CHUNK: usize = 500;
/// So many faults are kept.
const MOST_FAULTS: i64 = 10_000;
/// How long faults are kept.
const FAULT_DAYS: i64 = 30;

/// What is known of a file before its bytes.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub file_name: String,
    pub content_type: String,
    pub mapping: BTreeMap<String, String>,
}

/// The use cases of imports.
#[derive(Clone)]
pub struct Imports {
    store: ImportStore,
    customers: Customers,
    objects: Objects,
    jobs: Jobs,
    clock: SharedClock,
}

impl Imports {
    pub fn new(
        store: ImportStore,
        customers: Customers,
        objects: Objects,
        jobs: Jobs,
        clock: SharedClock,
    ) -> Self {
        Self { store, customers, objects, jobs, clock }
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Import>> {
        Ok(self.store.get(scope, id).await?)
    }

    pub async fn list(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Stored<Import>>> {
        Ok(self.store.list(scope, page).await?)
    }

    /// The rows that were not taken.
    pub async fn faults(
        &self,
        scope: &Scope,
        id: &str,
        page: &PageRequest,
    ) -> Result<Page<Stored<RowFault>>> {
        self.store.get(scope, id).await?;
        Ok(self.store.faults(scope, id, page).await?)
    }

    /// Takes a file in and queues its import. The same file with the same mapping answers the first one.
    pub async fn upload(
        &self,
        caller: &Caller,
        head: Head,
        chunks: impl Stream<Item = std::result::Result<Bytes, tonic::Status>> + Send,
    ) -> Result<Stored<Import>> {
        let scope = caller.scope()?;
        let definitions = self.customers.definitions(scope).await?;
        let faults = Mapping { said: &head.mapping, definitions: &definitions }.faults();
        if !faults.is_empty() {
            return Err(Error::Wrong(faults));
        }
        let id = kit::id::new("imp");
        let key = object(scope, &id)?;
        let (hash, bytes) = spool(&self.objects, &key, chunks).await?;
        let import = Import {
            format: Format::of(&head.content_type, &head.file_name),
            file_name: head.file_name,
            same_as: same_as(&hash, &head.mapping),
            mapping: head.mapping,
            hash,
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            state: State::Queued,
            counts: Counts::default(),
            reason: String::new(),
            uploaded_by: caller.actor.id.clone(),
            finished_at: None,
        };
        let same = import.same_as.clone();
        let stamp = Stamp { scope, subject: &id, sequence: 1, at: self.clock.now() };
        let after = json!({ "hash": import.hash, "bytes": import.bytes });
        let audit = stamp.audited(caller, "customer_import", "customer_import.create", None, Some(&after));
        let stored = match self.store.insert(scope, id, import, audit.into_iter().collect()).await {
            Err(e @ store::Error::Duplicate(_)) => {
                self.objects.delete(&key).await.map_err(lost)?;
                self.store.same_as(scope, &same).await?.ok_or(e)?
            }
            other => other?,
        };
        // Also for one that was there: a crash may have come between file and job.
        if !stored.body.state.is_over() {
            self.jobs.enqueue(scope, Order::new(KIND, &stored.id, bson::Document::new())).await?;
        }
        Ok(stored)
    }

    /// Stops an import. What is written stays.
    pub async fn cancel(&self, caller: &Caller, id: &str) -> Result<Stored<Import>> {
        let scope = caller.scope()?;
        for _ in 0..8 {
            let read = self.store.get(scope, id).await?;
            match read.body.state {
                State::Canceled => return Ok(read),
                state if state.is_over() => {
                    let text = format!("an import that is {} cannot be canceled", state.as_str());
                    return Err(Error::Refused("wrong_state", text));
                }
                _ => {}
            }
            let next = read.body.ended(id, State::Canceled, "canceled", self.clock.now());
            let stamp = Stamp { scope, subject: id, sequence: read.version + 1, at: self.clock.now() };
            let audit = stamp.audited(caller, "customer_import", "customer_import.cancel", None, None);
            match self.store.replace(&read, next, audit.into_iter().collect()).await {
                Err(store::Error::Stale(_)) => {}
                other => {
                    self.objects.delete(&object(scope, id)?).await.map_err(lost)?;
                    return Ok(other?);
                }
            }
        }
        Err(Error::Busy)
    }

    /// Imports what is not imported yet. Whoever canceled it meanwhile is heard at the next lot.
    pub async fn run(&self, scope: &Scope, id: &str) -> Result<()> {
        let mut read = self.store.get(scope, id).await?;
        if read.body.state.is_over() {
            return Ok(());
        }
        let key = object(scope, id)?;
        match self.import(scope, &mut read).await {
            Ok(()) => {}
            Err(Stopped::File(reason)) => {
                let next = read.body.ended(id, State::Failed, reason, self.clock.now());
                self.store.replace(&read, next, Vec::new()).await?;
            }
            Err(Stopped::Error(Error::Store(store::Error::Stale(_)))) => {
                let now = self.store.get(scope, id).await?;
                if !now.body.state.is_over() {
                    return Err(Error::Busy);
                }
            }
            Err(Stopped::Error(e)) => return Err(e),
        }
        self.objects.delete(&key).await.map_err(lost)
    }

    /// It failed too often on our side.
    pub async fn give_up(&self, scope: &Scope, id: &str) -> Result<()> {
        let read = self.store.get(scope, id).await?;
        if read.body.state.is_over() {
            return Ok(());
        }
        let next = read.body.ended(id, State::Failed, "internal", self.clock.now());
        Ok(self.store.replace(&read, next, Vec::new()).await.map(|_| ())?)
    }

    async fn import(&self, scope: &Scope, read: &mut Stored<Import>) -> std::result::Result<(), Stopped> {
        let caller = Caller::internal(crate::NAME, Some(scope.clone()));
        let file = match self.objects.get(&object(scope, &read.id)?).await {
            Err(ObjectError::NotFound) => return Err(Stopped::File("file_missing")),
            found => found.map_err(lost)?.body,
        };
        let file = StreamReader::new(file.map_err(std::io::Error::other));
        let definitions = self.customers.definitions(scope).await?;
        let said = read.body.mapping.clone();
        let mapping = Mapping { said: &said, definitions: &definitions };
        let mut rows = Rows::open(file, read.body.format, &mapping).await?;
        let (mut number, mut lot) = (0_i64, Vec::with_capacity(CHUNK));
        loop {
            let row = rows.next(&mapping).await?;
            let ended = row.is_none();
            if let Some(row) = row {
                number += 1;
                // What an earlier, interrupted run has dealt with.
                if number > read.body.counts.rows {
                    lot.push((number, row));
                }
            }
            if lot.len() == CHUNK || (ended && !lot.is_empty()) {
                let lot = std::mem::replace(&mut lot, Vec::with_capacity(CHUNK));
                let counts = self.write(&caller, scope, read, &mapping, lot).await?;
                *read = self.store.replace(read, read.body.further(counts), Vec::new()).await?;
            }
            if ended {
                *read = self.store.replace(read, read.body.completed(self.clock.now()), Vec::new()).await?;
                return Ok(());
            }
        }
    }

    async fn write(
        &self,
        caller: &Caller,
        scope: &Scope,
        read: &Stored<Import>,
        mapping: &Mapping<'_>,
        lot: Vec<(i64, super::reader::Row)>,
    ) -> Result<Counts> {
        let last = lot.last().map_or(0, |(n, _)| *n);
        let numbers: Vec<_> = lot.iter().map(|(n, _)| *n).collect();
        let rows = lot.into_iter().map(|(_, row)| match row {
            Ok(cells) => mapping.read(cells),
            Err(fault) => (crate::customers::Said::default(), vec![fault]),
        });
        let via = Via { source: Source::Upload, import_id: &read.id };
        let done = self.customers.import_via(caller, rows.collect(), via).await?;
        let forget_at = kit::time::add_days(self.clock.now(), FAULT_DAYS);
        let number = |index: u32| numbers.get(index as usize).copied().unwrap_or(last);
        let mut rejected: Vec<_> = done.errors.iter().map(|(index, _)| *index).collect();
        rejected.dedup();
        if read.body.counts.rejected < MOST_FAULTS {
            let fault = |(index, f)| RowFault::new(&read.id, number(index), f, forget_at);
            self.store.keep(scope, done.errors.into_iter().map(fault).collect()).await?;
        }
        Ok(Counts {
            rows: last,
            created: done.created.into(),
            updated: done.updated.into(),
            unchanged: done.unchanged.into(),
            rejected: i64::try_from(rejected.len()).unwrap_or(0),
        })
    }

    /// What does the jobs.
    pub fn worker(&self) -> Arc<dyn Work> {
        Arc::new(Worker(self.clone()))
    }
}

struct Worker(Imports);

#[async_trait]
impl Work for Worker {
    async fn work(&self, job: &Running) -> std::result::Result<(), Failure> {
        let Err(e) = self.0.run(&job.scope, &job.key).await else { return Ok(()) };
        if job.is_last {
            self.0.give_up(&job.scope, &job.key).await.map_err(|e| Failure::Dead(e.to_string()))?;
        }
        Err(Failure::Retry(format!("{:#}", anyhow::Error::from(e))))
    }
}

/// Why an import went no further.
enum Stopped {
    /// The file is at fault: a slug.
    File(&'static str),
    Error(Error),
}

impl From<Error> for Stopped {
    fn from(e: Error) -> Self {
        Self::Error(e)
    }
}

impl From<store::Error> for Stopped {
    fn from(e: store::Error) -> Self {
        Self::Error(e.into())
    }
}

impl From<Unreadable> for Stopped {
    fn from(e: Unreadable) -> Self {
        match e {
            Unreadable::File(reason) => Self::File(reason),
            Unreadable::Io(e) => Self::Error(kit::Fault::unavailable("objects_unavailable", e).into()),
        }
    }
}

/// Stands for a file with its mapping.
fn same_as(hash: &str, mapping: &BTreeMap<String, String>) -> String {
    let mut context = Context::new(&SHA256);
    context.update(hash.as_bytes());
    for (column, target) in mapping {
        context.update(format!("\n{column}\n{target}").as_bytes());
    }
    hex::encode(context.finish())
}
