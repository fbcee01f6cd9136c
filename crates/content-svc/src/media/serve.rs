//! What stands at `/m/{hash}`.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use connect::objects::ObjectError;
use futures_util::stream::BoxStream;
use kit::{Fault, Scope};
use store::Stored;

use super::model::{Media, is_hash};
use super::ops::{MediaRoom, lost, object};
use crate::error::Error;

/// Where the bytes of a public hash lie.
#[derive(Clone, Debug)]
pub struct Place {
    scope: Scope,
    content_type: String,
    size: u64,
    name: String,
}

impl Place {
    fn of(media: Stored<Media>, hash: &str) -> Option<Self> {
        let (content_type, bytes) = media.body.served(hash)?;
        Some(Self {
            content_type: content_type.to_owned(),
            size: u64::try_from(bytes).ok()?,
            name: media.body.name.clone(),
            scope: media.scope,
        })
    }
}

/// Which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    All,
    /// From the first, up to and with the last.
    From(u64, Option<u64>),
    /// The last so many.
    Suffix(u64),
}

impl Asked {
    /// The bytes of a file of this size; none where none of them is there.
    pub fn of(self, size: u64) -> Option<Range<u64>> {
        match self {
            Self::Nothing => Some(0..0),
            Self::All => Some(0..size),
            Self::From(first, last) => {
                let end = last.map_or(size, |last| last.saturating_add(1).min(size));
                (first < end).then_some(first..end)
            }
            Self::Suffix(0) => None,
            Self::Suffix(last) => (size > 0).then(|| size.saturating_sub(last)..size),
        }
    }
}

/// A file that is served.
pub struct Opened {
    pub content_type: String,
    pub size: u64,
    /// Which bytes follow; none: those that were asked for are not there.
    pub range: Option<Range<u64>>,
    pub name: String,
    pub body: Option<BoxStream<'static, Result<Bytes, ObjectError>>>,
}

impl MediaRoom {
    /// Opens what everybody may read: what something published shows.
    pub async fn open(&self, hash: &str, asked: Asked) -> Result<Opened, Error> {
        let place = self.place(hash).await?;
        self.serve(&place, hash, asked).await
    }

    /// Opens one of a company's that need not be public.
    pub async fn look_at(&self, scope: &Scope, hash: &str, asked: Asked) -> Result<Opened, Error> {
        let found = self.store.ready(scope, &[], &[hash]).await?.into_iter().next();
        let place = found.and_then(|media| Place::of(media, hash)).ok_or_else(missing)?;
        self.serve(&place, hash, asked).await
    }

    async fn serve(&self, place: &Place, hash: &str, asked: Asked) -> Result<Opened, Error> {
        let Place { scope, content_type, size, name } = place;
        let range = asked.of(*size);
        let body = match &range {
            Some(range) if !range.is_empty() => {
                let opened = self.files.open(&object(scope, hash)?, range.clone()).await;
                match opened {
                    Ok(object) => Some(object.body),
                    Err(ObjectError::NotFound) => {
                        tracing::error!(media.hash = hash, "the bytes of {hash} are not in the object store");
                        return Err(missing().into());
                    }
                    Err(other) => return Err(lost(other)),
                }
            }
            _ => None,
        };
        Ok(Opened { content_type: content_type.clone(), size: *size, range, name: name.clone(), body })
    }

    /// Remembered for seconds, so that a page that many look at is one question to the database.
    async fn place(&self, hash: &str) -> Result<Arc<Place>, Error> {
        if !is_hash(hash) || self.missed.contains_key(hash) {
            return Err(missing().into());
        }
        let found = self.known.try_get_with(hash.to_owned(), async {
            let found = self.store.public(hash).await?;
            let place = found.and_then(|media| Place::of(media, hash));
            place.map(Arc::new).ok_or_else(|| Error::from(missing()))
        });
        match found.await {
            Ok(place) => Ok(place),
            Err(shared) => match shared.as_ref() {
                Error::Fault(_) => {
                    self.missed.insert(hash.to_owned(), ()).await;
                    Err(missing().into())
                }
                other => Err(Fault::unavailable("database_unavailable", anyhow::anyhow!("{other}")).into()),
            },
        }
    }
}

fn missing() -> Fault {
    Fault::not_found("picture")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_what_is_there() {
        for (asked, size, got) in [
            (Asked::All, 10, Some(0..10)),
            (Asked::Nothing, 10, Some(0..0)),
            (Asked::From(0, Some(0)), 10, Some(0..1)),
            (Asked::From(3, Some(99)), 10, Some(3..10)),
            (Asked::From(9, None), 10, Some(9..10)),
            (Asked::From(10, None), 10, None),
            (Asked::From(5, Some(4)), 10, None),
            (Asked::From(0, Some(u64::MAX)), 10, Some(0..10)),
            (Asked::Suffix(4), 10, Some(6..10)),
            (Asked::Suffix(40), 10, Some(0..10)),
            (Asked::Suffix(0), 10, None),
        ] {
            assert_eq!(asked.of(size), got, "{asked:?}");
        }
    }
}
