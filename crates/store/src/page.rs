//! Cursors: where a page ended, sealed to the list it belongs to.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bson::{Bson, Document, doc};

use crate::{Error, Result};

/// The order of a list. Ids are time-ordered, so by id is by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Newest,
    Oldest,
    /// Upwards by a field, such as `body.name`; equal ones by age.
    By(&'static str),
}

impl Sort {
    pub(crate) fn document(self) -> Document {
        match self {
            Self::Newest => doc! { "_id": -1 },
            Self::Oldest => doc! { "_id": 1 },
            Self::By(field) => doc! { field: 1, "_id": 1 },
        }
    }

    /// What comes after a cursor, as a filter.
    pub(crate) fn after(self, mark: &Mark) -> Document {
        match self {
            Self::Newest => doc! { "_id": { "$lt": &mark.id } },
            Self::Oldest => doc! { "_id": { "$gt": &mark.id } },
            Self::By(field) => doc! { "$or": [
                { field: { "$gt": mark.value.clone() } },
                { field: mark.value.clone(), "_id": { "$gt": &mark.id } },
            ] },
        }
    }

    /// The mark a document leaves.
    pub(crate) fn mark(self, id: &str, document: &Document) -> Mark {
        let value = match self {
            Self::By(field) => dig(document, field).cloned().unwrap_or(Bson::Null),
            _ => Bson::Null,
        };
        Mark { id: id.to_owned(), value }
    }
}

/// The last document of a page.
#[derive(Debug, PartialEq)]
pub(crate) struct Mark {
    id: String,
    value: Bson,
}

impl Mark {
    /// The cursor a caller gets: the mark and a seal over the list.
    pub(crate) fn seal(&self, list: &Document, sort: Sort) -> Result<String> {
        let mut bytes = doc! { "i": &self.id, "v": self.value.clone() }.to_vec()?;
        bytes.extend_from_slice(&seal(list, sort)?);
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Reads a cursor back; one of another list, or a made-up one, is refused.
    pub(crate) fn open(cursor: &str, list: &Document, sort: Sort) -> Result<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| Error::Cursor)?;
        let (mark, sealed) = bytes.split_at_checked(bytes.len().saturating_sub(8)).ok_or(Error::Cursor)?;
        if sealed != seal(list, sort)? {
            return Err(Error::Cursor);
        }
        let mark = Document::from_reader(mark).map_err(|_| Error::Cursor)?;
        let id = mark.get_str("i").map_err(|_| Error::Cursor)?.to_owned();
        Ok(Self { id, value: mark.get("v").cloned().unwrap_or(Bson::Null) })
    }
}

/// Eight bytes that stand for a filter (company and mode in it) and an order. Not a secret: a forged cursor only shows
/// another part of the caller's own list.
fn seal(list: &Document, sort: Sort) -> Result<[u8; 8]> {
    let mut bytes = list.to_vec()?;
    bytes.extend_from_slice(format!("{sort:?}").as_bytes());
    let mut short = [0; 8];
    short.copy_from_slice(&digest::digest(&digest::SHA256, &bytes).as_ref()[..8]);
    Ok(short)
}

fn dig<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((head, rest)) => dig(document.get_document(head).ok()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_its_own_list() {
        let list = doc! { "company_id": "com_1", "mode": "live" };
        let mark = Mark { id: "off_1".into(), value: Bson::Null };
        let cursor = mark.seal(&list, Sort::Newest).unwrap();
        assert_eq!(Mark::open(&cursor, &list, Sort::Newest).unwrap(), mark);
        let other = doc! { "company_id": "com_2", "mode": "live" };
        assert!(matches!(Mark::open(&cursor, &other, Sort::Newest), Err(Error::Cursor)));
        assert!(matches!(Mark::open(&cursor, &list, Sort::Oldest), Err(Error::Cursor)));
        assert!(matches!(Mark::open("made up", &list, Sort::Newest), Err(Error::Cursor)));
    }
}
