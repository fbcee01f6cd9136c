//! Datasets, and the way of an upload through its states (§10.9).

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use connect::objects::Objects;
use futures_util::Stream;
use kit::{Caller, Page, PageRequest, Scope, SharedClock};
use store::Stored;

use super::import::import;
use super::intake::{object, spool};
use super::model::{Column, Counts, Dataset, RowError, State, Upload, Verdict, check_columns};
use super::reader::Rows;
use super::store::{Kept, UsageStore};
use super::validate::{Report, dataset, field, open, validate};
use crate::error::Error;
use crate::events::{audited, upload_applied, upload_completed};
use crate::facts::{Customers, fact_key};
use crate::rules::Facts;
use crate::work::Work;

/// The kind of the job that checks and imports.
pub const KIND: &str = "usage_upload";
/// Wrong rows of the error file.
const MOST_ERRORS: usize = 10_000;
/// How long it is listened for more customers, and how often in silence.
const LISTEN: std::time::Duration = std::time::Duration::from_secs(1);
const STILL: u32 = 3;
/// Rows read at once when facts are made of them.
const CHUNK: i64 = 1_000;

/// What a file is, said before its bytes.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub dataset: String,
    pub file_name: String,
    pub content_type: String,
    pub auto_confirm: bool,
    pub mapping: BTreeMap<String, String>,
}

#[derive(Clone)]
pub struct Usage {
    pub(super) store: UsageStore,
    pub(super) customers: Customers,
    objects: Objects,
    pub(super) work: Work,
    pub(super) clock: SharedClock,
}

impl Usage {
    pub fn new(
        store: UsageStore,
        customers: Customers,
        objects: Objects,
        work: Work,
        clock: SharedClock,
    ) -> Self {
        Self { store, customers, objects, work, clock }
    }

    /// Takes a file in. The same file for the same dataset answers the first upload.
    pub async fn upload(
        &self,
        caller: &Caller,
        head: Head,
        chunks: impl Stream<Item = Result<Bytes, tonic::Status>> + Send,
    ) -> Result<Stored<Upload>, Error> {
        let scope = caller.scope()?;
        let Head { dataset, file_name, content_type, auto_confirm, mapping } = head;
        if dataset.is_empty() || dataset.len() > 64 || fact_key(&dataset) != dataset {
            return Err(Error::field("dataset", "pattern", "lower case letters, digits and `_`"));
        }
        let csv = [
            "",
            "text/csv",
            "application/csv",
            "text/plain",
            "application/vnd.ms-excel",
            "application/octet-stream",
        ];
        if !csv.contains(&content_type.split(';').next().unwrap_or_default().trim()) {
            return Err(Error::field("content_type", "unsupported", "send text/csv"));
        }
        let id = kit::id::new("upl");
        let now = self.clock.now();
        let actor = &caller.actor;
        let upload = Upload {
            dataset_id: None,
            dataset,
            file_name: file_name.chars().take(200).collect(),
            hash: String::new(),
            same_as: id.clone(),
            bytes: 0,
            state: State::Uploading,
            reason: String::new(),
            mapping,
            auto_confirm,
            uploaded_by: format!("{} {}", actor.kind, actor.id),
            counts: Counts::default(),
            errors: Vec::new(),
            inferred: None,
            written: 0,
            finished_at: None,
            file_gone: false,
        };
        let key = object(scope, &id)?;
        let events = vec![audited(caller, scope, now, "usage_upload", &id, "create")];
        let stored = self.store.uploads.insert(scope, id.clone(), upload, events).await?;
        let (hash, bytes) = match spool(&self.objects, &key, chunks).await {
            Ok(done) => done,
            Err(e) => {
                let mut failed = stored.body.clone();
                failed.end(State::Failed, "interrupted", &id, self.clock.now());
                self.store.replace(&stored, failed, Vec::new()).await?;
                return Err(e);
            }
        };
        let same_as = format!("{}/{hash}", stored.body.dataset);
        let next =
            Upload { same_as: same_as.clone(), hash, bytes, state: State::Uploaded, ..stored.body.clone() };
        match self.store.replace(&stored, next, Vec::new()).await {
            Ok(stored) => {
                self.work.upload(scope, &id).await?;
                Ok(stored)
            }
            Err(Error::Store(store::Error::Duplicate(_))) => {
                self.objects.delete(&key).await?;
                self.store.uploads.remove(scope, &id).await?;
                self.store.same_as(scope, &same_as).await?.ok_or_else(|| Error::not_found("upload"))
            }
            Err(e) => Err(e),
        }
    }

    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Stored<Upload>, Error> {
        Ok(self.store.uploads.get(scope, id).await?)
    }

    pub async fn list(
        &self,
        scope: &Scope,
        dataset: Option<String>,
        state: Option<State>,
        page: &PageRequest,
    ) -> Result<Page<Stored<Upload>>, Error> {
        self.store.uploads(scope, dataset, state, page).await
    }

    /// The wrong rows of an upload, read from its file again.
    pub async fn errors(&self, scope: &Scope, id: &str) -> Result<Vec<RowError>, Error> {
        let upload = self.get(scope, id).await?;
        if upload.body.file_gone {
            return Ok(upload.body.errors);
        }
        let known = self.store.dataset(scope, &upload.body.dataset).await?.map(|d| d.body);
        let Some(dataset) = known.or(upload.body.inferred.clone()) else { return Ok(upload.body.errors) };
        let file = open(&self.objects, scope, id).await?;
        let rows = Rows::open(file, &upload.body.mapping, Some(dataset.join_key), &dataset.columns).await;
        let Ok(mut rows) = rows else { return Ok(upload.body.errors) };
        let mut all = Vec::new();
        while all.len() < MOST_ERRORS {
            match rows.next().await {
                Ok(Some(read)) => all.extend(read.row.err().into_iter().flatten()),
                // What cannot be read any further is told by the upload's reason.
                Ok(None) | Err(_) => break,
            }
        }
        all.truncate(MOST_ERRORS);
        Ok(all)
    }

    pub async fn confirm(&self, caller: &Caller, id: &str) -> Result<Stored<Upload>, Error> {
        let scope = caller.scope()?;
        let read = self.get(scope, id).await?;
        let mut upload = read.body.clone();
        upload.confirm()?;
        let events = vec![audited(caller, scope, self.clock.now(), "usage_upload", id, "confirm")];
        let stored = self.store.replace(&read, upload, events).await?;
        self.work.upload(scope, id).await?;
        Ok(stored)
    }

    pub async fn cancel(&self, caller: &Caller, id: &str) -> Result<Stored<Upload>, Error> {
        let scope = caller.scope()?;
        let read = self.get(scope, id).await?;
        let mut upload = read.body.clone();
        upload.cancel(id, self.clock.now())?;
        let events = vec![audited(caller, scope, self.clock.now(), "usage_upload", id, "cancel")];
        self.store.replace(&read, upload, events).await
    }

    /// The job: takes an upload as far as it goes by itself. Run again, it goes on where it stopped.
    pub async fn run(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let mut upload = self.get(scope, id).await?;
        if matches!(upload.body.state, State::Uploaded | State::Validating) {
            upload = self.validate(scope, upload).await?;
        }
        if upload.body.state == State::Importing {
            self.import(scope, upload).await?;
        }
        Ok(())
    }

    /// Takes the files of uploads away that are over: somebody in one was erased. The first wrong rows stay listed. How many
    /// there were.
    pub async fn drop_files(&self, scope: &Scope) -> Result<u64, Error> {
        let mut gone = 0;
        loop {
            let some = self.store.with_files(scope).await?;
            if some.is_empty() {
                return Ok(gone);
            }
            for read in some {
                self.objects.delete(&object(scope, &read.id)?).await?;
                self.store.file_gone(scope, &read.id).await?;
                gone += 1;
            }
        }
    }

    /// Ends an upload that failed too often.
    pub async fn give_up(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let read = self.get(scope, id).await?;
        if matches!(read.body.state, State::Uploaded | State::Validating | State::Importing) {
            let mut upload = read.body.clone();
            upload.end(State::Failed, "internal", id, self.clock.now());
            self.store.replace(&read, upload, Vec::new()).await?;
        }
        Ok(())
    }

    async fn validate(&self, scope: &Scope, read: Stored<Upload>) -> Result<Stored<Upload>, Error> {
        let id = read.id.clone();
        let validating = Upload { state: State::Validating, ..read.body.clone() };
        let read = self.store.replace(&read, validating, Vec::new()).await?;
        let known = self.store.dataset(scope, &read.body.dataset).await?;
        let is_new = known.is_none();
        let found = dataset(&self.objects, scope, &id, &read.body, known.map(|d| d.body)).await?;
        let report = match found {
            Err(reason) => Err(reason),
            Ok(dataset) => self.checked(scope, &id, &read.body, dataset).await?,
        };
        let now = self.clock.now();
        let mut upload = read.body.clone();
        match report {
            Err(reason) => upload.end(State::Rejected, reason, &id, now),
            Ok(Report { counts, errors, dataset }) => {
                upload.counts = counts;
                upload.errors = errors;
                upload.inferred = is_new.then_some(dataset);
                match counts.verdict(upload.auto_confirm) {
                    Verdict::Reject(reason) => upload.end(State::Rejected, reason, &id, now),
                    Verdict::Ask(reason) => {
                        upload.state = State::AwaitingConfirmation;
                        reason.clone_into(&mut upload.reason);
                    }
                    Verdict::Import => upload.state = State::Importing,
                }
            }
        }
        // Canceled in the meantime: then that stands, and the job ends at the next look.
        self.store.replace(&read, upload, Vec::new()).await
    }

    /// Reads the file; again where few rows name a customer while customers are still being heard of: a file often
    /// follows the back-fill of its customers closer than their events do.
    async fn checked(
        &self,
        scope: &Scope,
        id: &str,
        upload: &Upload,
        dataset: Dataset,
    ) -> Result<Result<Report, &'static str>, Error> {
        let (mut heard, mut still) = (self.customers.count(scope).await?, 0);
        loop {
            let report = validate(&self.objects, &self.customers, scope, id, upload, dataset.clone()).await?;
            let few = report.as_ref().is_ok_and(|r| r.counts.few());
            if !few || still >= STILL {
                return Ok(report);
            }
            tokio::time::sleep(LISTEN).await;
            let now = self.customers.count(scope).await?;
            still = if now > heard { 0 } else { still + 1 };
            heard = now;
        }
    }

    async fn import(&self, scope: &Scope, upload: Stored<Upload>) -> Result<(), Error> {
        let dataset = self.ensure(scope, &upload.body).await?;
        let done = import(&self.store, &self.objects, &self.clock, scope, upload, &dataset).await?;
        let now = self.clock.now();
        let mut upload = done.body.clone();
        upload.dataset_id = Some(dataset.id.clone());
        upload.inferred = None;
        let state = if upload.counts.rejected == 0 { State::Completed } else { State::CompletedWithErrors };
        upload.end(state, "", &done.id, now);
        let Counts { imported, rejected, .. } = upload.counts;
        let events = vec![upload_completed(scope, &done.id, &dataset.id, imported, rejected, now)];
        self.store.replace(&done, upload, events).await?;
        self.work.enrich(scope, &done.id).await
    }

    /// The dataset there is, or the one the file described.
    async fn ensure(&self, scope: &Scope, upload: &Upload) -> Result<Stored<Dataset>, Error> {
        if let Some(there) = self.store.dataset(scope, &upload.dataset).await? {
            return Ok(there);
        }
        let described = upload.inferred.clone().ok_or_else(|| Error::not_found("dataset"))?;
        match self.store.datasets.insert(scope, kit::id::new("dst"), described, Vec::new()).await {
            Err(store::Error::Duplicate(_)) => {
                let there = self.store.dataset(scope, &upload.dataset).await?;
                there.ok_or_else(|| Error::not_found("dataset"))
            }
            other => Ok(other?),
        }
    }

    /// The job after an import: the newest row of each customer the upload speaks of becomes facts.
    pub async fn enrich(&self, scope: &Scope, id: &str) -> Result<(), Error> {
        let upload = self.get(scope, id).await?;
        let Some(dataset) = &upload.body.dataset_id else { return Ok(()) };
        let dataset = self.store.datasets.get(scope, dataset).await?;
        let (mut after, mut last): (String, Option<(Kept, bool)>) = (String::new(), None);
        loop {
            let rows = self.store.rows(scope, &dataset.id, &after, CHUNK).await?;
            let ended = rows.is_empty();
            if let Some((id, _)) = rows.last() {
                after.clone_from(id);
            }
            let mut ready = Vec::new();
            for (_, kept) in rows {
                let touched = kept.upload == upload.id;
                match &mut last {
                    // Rows of one key follow each other, the newest period last.
                    Some((before, was)) if before.key == kept.key => {
                        (*before, *was) = (kept, *was || touched);
                    }
                    _ => ready.extend(last.replace((kept, touched))),
                }
            }
            if ended {
                ready.extend(last.take());
            }
            let touched = ready.into_iter().filter(|(_, t)| *t).map(|(k, _)| (k.key, k.values));
            let mut spoken_of = self.set_facts(scope, &dataset, touched.collect()).await?;
            spoken_of.sort_unstable();
            let named = (dataset.id.as_str(), dataset.body.name.as_str());
            if let Some(event) = upload_applied(scope, id, named, spoken_of, upload.updated_at) {
                self.store.tell(scope, id, event).await?;
            }
            if ended {
                break;
            }
        }
        self.work.refresh(scope).await?;
        Ok(())
    }

    pub(super) async fn set_facts(
        &self,
        scope: &Scope,
        dataset: &Stored<Dataset>,
        rows: HashMap<String, Facts>,
    ) -> Result<Vec<String>, Error> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = rows.keys().cloned().collect();
        let ids = self.customers.match_keys(scope, field(dataset.body.join_key), &keys).await?;
        let facts = rows.into_iter().filter_map(|(key, values)| {
            let named = values.into_iter().map(|(name, value)| (fact(&name), value)).collect();
            Some((ids.get(&key)?.clone(), named))
        });
        let facts: BTreeMap<_, _> = facts.collect();
        let spoken_of = facts.keys().cloned().collect();
        self.customers.set_usage(scope, facts).await?;
        Ok(spoken_of)
    }

    pub async fn datasets(&self, scope: &Scope, page: &PageRequest) -> Result<Page<Stored<Dataset>>, Error> {
        let all = bson::Document::new();
        Ok(self.store.datasets.list(scope, all, store::Sort::Newest, page).await?)
    }

    pub async fn create_dataset(&self, caller: &Caller, dataset: Dataset) -> Result<Stored<Dataset>, Error> {
        let scope = caller.scope()?;
        check_columns(&dataset.columns)?;
        let id = kit::id::new("dst");
        let events = vec![audited(caller, scope, self.clock.now(), "usage_dataset", &id, "create")];
        Ok(self.store.datasets.insert(scope, id, dataset, events).await?)
    }

    pub async fn update_dataset(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        description: Option<String>,
        columns: Option<Vec<Column>>,
    ) -> Result<Stored<Dataset>, Error> {
        let scope = caller.scope()?;
        let read = self.store.datasets.get(scope, id).await?;
        if read.version != version {
            return Err(store::Error::Stale("dataset").into());
        }
        let mut dataset = read.body.clone();
        dataset.description = description.unwrap_or(dataset.description);
        if let Some(columns) = columns {
            dataset.widen(columns)?;
        }
        let events = vec![audited(caller, scope, self.clock.now(), "usage_dataset", id, "update")];
        Ok(self.store.datasets.replace(&read, dataset, events).await?)
    }

    /// What every dataset says of one customer.
    pub async fn of_customer(&self, scope: &Scope, reference: &str) -> Result<Vec<(String, Kept)>, Error> {
        let customer = self.customers.get(scope, reference).await?;
        let datasets = self.datasets(scope, &PageRequest::new(kit::page::MAX_LIMIT, "")).await?;
        let keys = [customer.body.external_id, customer.body.email, customer.id];
        let mut all = Vec::new();
        for dataset in datasets.items {
            for key in keys.iter().filter(|k| !k.is_empty()) {
                let rows = self.store.of_key(scope, &dataset.id, key).await?;
                all.extend(rows.into_iter().map(|r| (dataset.body.name.clone(), r)));
            }
        }
        Ok(all)
    }
}

/// The fact a column is read as.
pub(super) fn fact(column: &str) -> String {
    format!("usage_{column}")
}
