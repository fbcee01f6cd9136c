//! Reading a file without writing anything: types, keys, and how many rows name a customer.

use std::collections::HashSet;

use connect::objects::Objects;
use futures_util::TryStreamExt;
use kit::Scope;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::intake::object;
use super::model::{Counts, Dataset, Grain, JoinKey, RowError, Upload};
use super::reader::{Rows, Unreadable};
use crate::error::Error;
use crate::facts::Customers;

/// Rows a dataset's types are taken from where nobody described it.
const LOOKED_AT: u64 = 1_000;
/// Rows whose customers are looked up in one go.
const CHUNK: usize = 2_000;
/// Wrong rows kept with the upload.
const SHOWN: usize = 20;

/// What reading a file brought.
pub struct Report {
    pub counts: Counts,
    pub errors: Vec<RowError>,
    pub dataset: Dataset,
}

/// Opens the file of an upload.
pub async fn open(
    objects: &Objects,
    scope: &Scope,
    upload: &str,
) -> Result<impl AsyncRead + Unpin + Send + use<>, Error> {
    let body = objects.get(&object(scope, upload)?).await?.body;
    Ok(StreamReader::new(body.map_err(std::io::Error::other)))
}

/// The dataset a file is for: the one there is, or the one the file describes.
pub async fn dataset(
    objects: &Objects,
    scope: &Scope,
    id: &str,
    upload: &Upload,
    known: Option<Dataset>,
) -> Result<Result<Dataset, &'static str>, Error> {
    if let Some(known) = known {
        return Ok(Ok(known));
    }
    let file = open(objects, scope, id).await?;
    let looked = async {
        let rows = Rows::open(file, &upload.mapping, None, &[]).await?;
        rows.infer(LOOKED_AT).await
    };
    match looked.await {
        Ok((columns, join_key, periods)) => Ok(Ok(Dataset {
            name: upload.dataset.clone(),
            description: String::new(),
            grain: if periods { Grain::CustomerPeriod } else { Grain::Customer },
            join_key,
            columns,
        })),
        Err(Unreadable::File(reason)) => Ok(Err(reason)),
        Err(Unreadable::Io(e)) => Err(Error::Internal(e.into())),
    }
}

/// Reads the whole file. The inner error is a slug that says why it is refused.
pub async fn validate(
    objects: &Objects,
    customers: &Customers,
    scope: &Scope,
    id: &str,
    upload: &Upload,
    dataset: Dataset,
) -> Result<Result<Report, &'static str>, Error> {
    let file = open(objects, scope, id).await?;
    let mut rows = match Rows::open(file, &upload.mapping, Some(dataset.join_key), &dataset.columns).await {
        Ok(rows) => rows,
        Err(e) => return refused(e),
    };
    if dataset.grain == Grain::CustomerPeriod && rows.layout.period.is_none() {
        return Ok(Err("no_period_column"));
    }
    let mut report = Report { counts: Counts::default(), errors: Vec::new(), dataset };
    let mut keys = Vec::with_capacity(CHUNK);
    loop {
        let read = match rows.next().await {
            Ok(Some(read)) => read,
            Ok(None) => break,
            Err(e) => return refused(e),
        };
        report.counts.rows += 1;
        match read.row {
            Ok(row) => keys.push(row.key),
            Err(errors) => {
                report.counts.rejected += 1;
                let room = SHOWN.saturating_sub(report.errors.len());
                report.errors.extend(errors.into_iter().take(room));
            }
        }
        if keys.len() == CHUNK {
            report.counts.matched += matched(customers, scope, report.dataset.join_key, &mut keys).await?;
        }
    }
    report.counts.matched += matched(customers, scope, report.dataset.join_key, &mut keys).await?;
    Ok(Ok(report))
}

/// How many of these keys name a customer; takes them out.
async fn matched(
    customers: &Customers,
    scope: &Scope,
    join: JoinKey,
    keys: &mut Vec<String>,
) -> Result<u64, Error> {
    let keys = std::mem::take(keys);
    let distinct: Vec<_> = keys.iter().cloned().collect::<HashSet<_>>().into_iter().collect();
    let count = if distinct.len() == keys.len() {
        // The index alone answers this.
        customers.count_keys(scope, field(join), &distinct).await?
    } else {
        let known = customers.match_keys(scope, field(join), &distinct).await?;
        keys.iter().filter(|k| known.contains_key(*k)).count() as u64
    };
    Ok(count)
}

/// Where a key stands in a customer.
pub fn field(join: JoinKey) -> &'static str {
    match join {
        JoinKey::ExternalId => "body.external_id",
        JoinKey::Email => "body.email",
        JoinKey::CustomerId => "_id",
    }
}

fn refused<T>(e: Unreadable) -> Result<Result<T, &'static str>, Error> {
    match e {
        Unreadable::File(reason) => Ok(Err(reason)),
        Unreadable::Io(e) => Err(Error::Internal(e.into())),
    }
}
