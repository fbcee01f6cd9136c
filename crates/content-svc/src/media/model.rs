//! A file, and how it may stand.

use kit::Timestamp;
use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::picture::Looked;

/// `uploading → scanning → ready | rejected`, `ready → archived`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Uploading,
    Scanning,
    Ready,
    Rejected,
    Archived,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Scanning => "scanning",
            Self::Ready => "ready",
            Self::Rejected => "rejected",
            Self::Archived => "archived",
        }
    }
}

/// A picture or a document of a company.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Media {
    pub name: String,
    pub state: State,
    pub content_type: String,
    pub bytes: i64,
    /// In pixels, as it is seen; 0 for a document.
    pub width: u32,
    pub height: u32,
    /// SHA-256 in hex; empty until every byte is there.
    pub hash: String,
    pub alt: Option<LocalText>,
    pub variants: Vec<Variant>,
    /// Under which hashes it is served: the own one and those of the variants.
    pub hashes: Vec<String>,
    /// Why it was rejected.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rejection: String,
    /// When something that shows it was published last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// Its bytes are gone from the object store.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emptied: bool,
}

/// The same picture, smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    pub width: u32,
    pub height: u32,
    pub bytes: i64,
    pub content_type: String,
    pub hash: String,
}

/// A place where a picture is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    pub kind: &'static str,
    pub id: String,
    pub name: String,
    pub published: bool,
}

impl Media {
    /// A file whose bytes are coming in.
    pub fn arriving(name: String, alt: Option<LocalText>) -> Self {
        Self {
            name: if name.is_empty() { "file".into() } else { name },
            state: State::Uploading,
            content_type: String::new(),
            bytes: 0,
            width: 0,
            height: 0,
            hash: String::new(),
            alt,
            variants: Vec::new(),
            hashes: Vec::new(),
            rejection: String::new(),
            published_at: None,
            emptied: false,
        }
    }

    /// Every byte is here.
    pub fn arrived(self, kind: Kind, bytes: usize, hash: String) -> Self {
        Self {
            state: State::Scanning,
            content_type: kind.content_type().to_owned(),
            bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
            hashes: vec![hash.clone()],
            hash,
            ..self
        }
    }

    /// It was looked at and can be used.
    pub fn ready(self, looked: &Looked) -> Self {
        let variants: Vec<Variant> = looked.smaller.iter().map(|s| s.variant.clone()).collect();
        let mut hashes = self.hashes;
        hashes.extend(variants.iter().map(|v| v.hash.clone()));
        Self { state: State::Ready, width: looked.width, height: looked.height, variants, hashes, ..self }
    }

    /// It is not kept.
    pub fn rejected(self, why: &str) -> Self {
        Self { state: State::Rejected, rejection: why.to_owned(), hashes: Vec::new(), emptied: true, ..self }
    }

    /// It was deleted.
    pub fn archived(self) -> Self {
        Self { state: State::Archived, published_at: None, ..self }
    }

    pub fn is_picture(&self) -> bool {
        self.width > 0
    }

    /// What is served under a hash: content type and size.
    pub fn served(&self, hash: &str) -> Option<(&str, i64)> {
        if self.hash == hash {
            return Some((&self.content_type, self.bytes));
        }
        self.variants.iter().find(|v| v.hash == hash).map(|v| (v.content_type.as_str(), v.bytes))
    }
}

/// Where the bytes of a hash are served.
pub fn address(hash: &str) -> String {
    format!("/m/{hash}")
}

/// The hash in such an address.
pub fn hash_in(url: &str) -> Option<&str> {
    let hash = url.strip_prefix("/m/")?;
    is_hash(hash).then_some(hash)
}

/// Whether a text has the form of a hash.
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}
