//! Writing the rows of a checked file: chunks of two thousand, two in flight, and a note of how far it got, from where
//! it goes on after a crash.

use bson::raw::CString;
use connect::objects::Objects;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use kit::{Scope, SharedClock};
use store::Stored;

use super::model::{Dataset, Upload};
use super::reader::{Rows, Unreadable};
use super::store::{Chunk, UsageStore};
use super::validate::open;
use crate::error::Error;

const CHUNK: usize = 2_000;
const IN_FLIGHT: usize = 2;
/// Chunks between two notes of how far it got.
const NOTED: u64 = 10;

/// Writes what is not written yet; the upload as it then is.
pub async fn import(
    store: &UsageStore,
    objects: &Objects,
    clock: &SharedClock,
    scope: &Scope,
    mut upload: Stored<Upload>,
    dataset: &Stored<Dataset>,
) -> Result<Stored<Upload>, Error> {
    let file = open(objects, scope, &upload.id).await?;
    let body = &dataset.body;
    let unreadable = |e: Unreadable| match e {
        Unreadable::Io(e) => Error::Internal(e.into()),
        // It was read from end to end before.
        Unreadable::File(why) => Error::Internal(anyhow::anyhow!("the file changed: {why}")),
    };
    let mut rows = Rows::open(file, &upload.body.mapping, Some(body.join_key), &body.columns)
        .await
        .map_err(unreadable)?;
    let columns = rows.columns().map(|c| CString::try_from(c.name.as_str()));
    let columns = columns.collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::from)?;
    let chunk = Chunk { dataset: dataset.id.clone(), upload: upload.id.clone(), at: clock.now(), columns };

    // What an earlier, interrupted run has written.
    let skip = upload.body.written;
    let mut under_way = FuturesOrdered::new();
    let mut waiting = Vec::with_capacity(CHUNK);
    let (mut seen, mut good, mut noted, mut chunks) = (0_u64, 0_u64, skip, 0_u64);
    loop {
        let read = rows.next().await.map_err(unreadable)?;
        let ended = read.is_none();
        if let Some(read) = read {
            seen = read.number;
            if let Ok(row) = read.row {
                good += 1;
                if read.number > skip {
                    waiting.push(row);
                }
            }
        }
        if waiting.len() == CHUNK || (ended && !waiting.is_empty()) {
            let full = std::mem::replace(&mut waiting, Vec::with_capacity(CHUNK));
            let (upto, chunk) = (seen, &chunk);
            under_way.push_back(async move { store.write(scope, chunk, full).await.map(|()| upto) });
            chunks += 1;
        }
        while under_way.len() >= IN_FLIGHT || (ended && !under_way.is_empty()) {
            // In order: when this one is there, everything before it is.
            if let Some(upto) = under_way.next().await {
                noted = upto?;
            }
        }
        if ended {
            break;
        }
        if chunks >= NOTED {
            chunks = 0;
            let next = Upload { written: noted, ..upload.body.clone() };
            upload = store.replace(&upload, next, Vec::new()).await?;
        }
    }
    let mut done = upload.clone();
    done.body.counts.imported = good;
    done.body.written = seen;
    Ok(done)
}
