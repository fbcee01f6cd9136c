//! A file on its way in: spooled to the object store while it is hashed, a chunk at a time.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use connect::objects::{ObjectError, ObjectKey, Objects};
use futures_util::{Stream, StreamExt};
use kit::Scope;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use crate::error::Error;

/// The largest file.
pub const LARGEST: u64 = 2 * 1024 * 1024 * 1024;

/// Where the file of an upload lies.
pub fn object(scope: &Scope, upload: &str) -> Result<ObjectKey, Error> {
    let key = format!("{}/{}/usage/{upload}.csv", scope.company, scope.mode.as_str());
    ObjectKey::parse(&key).ok_or_else(|| Error::Internal(anyhow::anyhow!("{key} is no name of an object")))
}

/// Stores what the stream brings, and says its hash and size.
pub async fn spool(
    objects: &Objects,
    key: &ObjectKey,
    chunks: impl Stream<Item = Result<Bytes, tonic::Status>> + Send,
) -> Result<(String, u64), Error> {
    let hash = Arc::new(Mutex::new(Context::new(&SHA256)));
    let seen = hash.clone();
    let chunks = pin!(chunks.map(move |chunk| {
        let chunk = chunk.map_err(anyhow::Error::from)?;
        if let Ok(mut hash) = seen.lock() {
            hash.update(&chunk);
        }
        Ok::<_, anyhow::Error>(chunk)
    }));
    let bytes = match objects.put_stream(key, chunks, LARGEST).await {
        Err(ObjectError::TooLarge) => {
            return Err(kit::Fault::new(kit::Code::TooLarge, "too_large", "a file has at most 2 GiB").into());
        }
        other => other?,
    };
    let hash = hash.lock().map_err(|_| Error::Internal(anyhow::anyhow!("hashing failed")))?.clone();
    Ok((hex::encode(hash.finish()), bytes))
}
