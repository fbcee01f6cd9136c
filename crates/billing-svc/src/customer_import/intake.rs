//! A file on its way in: spooled to the object store while it is hashed, a piece at a time.

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use connect::objects::{ObjectError, ObjectKey, Objects};
use futures_util::{Stream, StreamExt};
use kit::Scope;

use crate::error::{Error, Result};

/// The largest file.
pub const LARGEST: u64 = 200 * 1024 * 1024;

/// Where the file of an import lies.
pub fn object(scope: &Scope, import: &str) -> Result<ObjectKey> {
    let key = format!("{}/{}/customer-imports/{import}", scope.company, scope.mode.as_str());
    ObjectKey::parse(&key).ok_or_else(|| kit::Fault::not_found("import").into())
}

/// Stores what the stream brings, and says its hash and size.
pub async fn spool(
    objects: &Objects,
    key: &ObjectKey,
    chunks: impl Stream<Item = std::result::Result<Bytes, tonic::Status>> + Send,
) -> Result<(String, u64)> {
    let hash = Arc::new(Mutex::new(Context::new(&SHA256)));
    let seen = hash.clone();
    let chunks = chunks.map(move |chunk| {
        let chunk = chunk.map_err(anyhow::Error::from)?;
        if let Ok(mut hash) = seen.lock() {
            hash.update(&chunk);
        }
        Ok::<_, anyhow::Error>(chunk)
    });
    let bytes = match objects.put_stream(key, std::pin::pin!(chunks), LARGEST).await {
        Err(ObjectError::TooLarge) => {
            let text = "a file has at most 200 MB";
            return Err(kit::Fault::new(kit::Code::TooLarge, "too_large", text).into());
        }
        other => other.map_err(lost)?,
    };
    let hash = hash.lock().map_err(|_| kit::Fault::internal(anyhow::anyhow!("hashing failed")))?.clone();
    Ok((hex::encode(hash.finish()), bytes))
}

/// What the object store could not do.
pub fn lost(e: ObjectError) -> Error {
    kit::Fault::unavailable("objects_unavailable", e).into()
}
