//! Objects, drafts, releases: which state follows from what, and how one becomes the other.

use aws_lc_rs::digest;
use kit::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What can be versioned.
pub trait Content:
    Serialize + DeserializeOwned + Clone + PartialEq + std::fmt::Debug + Send + Sync + Unpin + 'static
{
    /// What the object has beside its name and its versions.
    type Head: Serialize
        + DeserializeOwned
        + Clone
        + PartialEq
        + std::fmt::Debug
        + Send
        + Sync
        + Unpin
        + 'static;

    /// Its name in the domain, and in events and audit entries.
    const NOUN: &'static str;
    /// Its kind within the noun, which lists can be cut down to.
    fn facet(&self) -> &'static str;

    /// What its ids begin with.
    const PREFIX: &'static str;
    /// Where objects are kept.
    const COLLECTION: &'static str;
    /// Where frozen versions are kept.
    const VERSIONS: &'static str;
    /// The field lists go by; none: newest first.
    const ORDER: Option<&'static str> = None;
    /// Indexes of the objects beside the ones every kind has.
    const INDEXES: &'static [&'static [&'static str]] = &[];
    /// Fields no two objects of a company and mode share.
    const UNIQUE: &'static [&'static [&'static str]] = &[];
}

/// Where the working copy stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Draft,
    InReview,
    Published,
    Archived,
}

/// Something versioned, as people edit it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object<H, C> {
    pub name: String,
    pub head: H,
    /// The one draft there may be.
    pub draft: Option<Draft<C>>,
    /// The version in use.
    pub live: Option<Live<C>>,
    /// Earlier releases, oldest first.
    #[serde(default)]
    pub history: Vec<Release>,
    #[serde(default)]
    pub archived: bool,
    /// The kind of the working copy, for lists.
    pub facet: String,
}

/// Changes nobody sees yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draft<C> {
    pub content: C,
    pub in_review: bool,
    pub note: String,
}

/// The version in use, with its content at hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Live<C> {
    pub release: Release,
    pub content: C,
}

/// One publishing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Counts from 1 within the object.
    pub number: u32,
    /// Names the frozen version. Two releases share one when the second is a copy of the first.
    pub hash: String,
    pub author: String,
    pub note: String,
    pub published_at: Timestamp,
    /// The release it is a copy of.
    pub copy_of: Option<u32>,
}

/// A frozen version: content, and what it pins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frozen<C> {
    /// The object it is a version of.
    pub object_id: String,
    /// SHA-256 (hex) over content and pins.
    pub hash: String,
    pub content: C,
    pub pins: Vec<Pin>,
}

/// Another piece of content, as it was when this one was frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub kind: String,
    pub id: String,
    pub number: u32,
    pub hash: String,
}

/// A version in use, as the engine and caches hold it.
#[derive(Clone, Debug)]
pub struct Published<C: Content> {
    pub id: String,
    pub name: String,
    pub head: C::Head,
    pub release: Release,
    pub frozen: std::sync::Arc<Frozen<C>>,
}

impl<C: Content> Frozen<C> {
    /// Freezes content with what it pins.
    pub fn new(object_id: &str, content: C, pins: Vec<Pin>) -> Result<Self, serde_json::Error> {
        // Structs write their fields in order and our maps are sorted: equal content gives equal bytes.
        let bytes = serde_json::to_vec(&(&content, &pins))?;
        let hash = digest::digest(&digest::SHA256, &bytes);
        let hash = hash.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Self { object_id: object_id.to_owned(), hash, content, pins })
    }

    /// The pin of this kind and id.
    pub fn pin(&self, kind: &str, id: &str) -> Option<&Pin> {
        self.pins.iter().find(|p| p.kind == kind && p.id == id)
    }

    /// Under which id a version is kept.
    pub fn key(object_id: &str, hash: &str) -> String {
        format!("{object_id}.{hash}")
    }
}

impl Pin {
    /// Pins what is in use now.
    pub fn of<C: Content>(published: &Published<C>) -> Self {
        Self {
            kind: C::NOUN.to_owned(),
            id: published.id.clone(),
            number: published.release.number,
            hash: published.release.hash.clone(),
        }
    }
}

/// Why an object does not allow what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is archived.
    Archived,
    /// There is no draft.
    NoDraft,
    /// There is no such release.
    NoSuchRelease,
}

impl<H, C> Object<H, C> {
    /// Where the working copy stands.
    pub fn state(&self) -> State {
        match (&self.draft, self.archived) {
            (_, true) => State::Archived,
            (Some(draft), _) if draft.in_review => State::InReview,
            (Some(_), _) => State::Draft,
            (None, _) => State::Published,
        }
    }

    /// What people edit: the draft, or else the version in use.
    pub fn working(&self) -> Option<&C> {
        self.draft.as_ref().map(|d| &d.content).or(self.live.as_ref().map(|l| &l.content))
    }

    /// The release in use.
    pub fn release(&self) -> Option<&Release> {
        self.live.as_ref().map(|l| &l.release)
    }

    /// Every release, newest first.
    pub fn releases(&self) -> Vec<&Release> {
        self.release().into_iter().chain(self.history.iter().rev()).collect()
    }

    /// The release of this number.
    pub fn numbered(&self, number: u32) -> Result<&Release, Refusal> {
        self.releases().into_iter().find(|r| r.number == number).ok_or(Refusal::NoSuchRelease)
    }
}

impl<C: Content> Object<C::Head, C> {
    /// A new object, in draft.
    pub fn new(name: String, head: C::Head, content: C) -> Self {
        let facet = content.facet().to_owned();
        let draft = Some(Draft { content, in_review: false, note: String::new() });
        Self { name, head, draft, live: None, history: Vec::new(), archived: false, facet }
    }

    /// Puts new content into the draft, opening one if there is none. A draft in review becomes a draft again: what was
    /// submitted is no longer what stands there.
    pub fn edit(&mut self, content: C) -> Result<(), Refusal> {
        if self.archived {
            return Err(Refusal::Archived);
        }
        if self.draft.is_none() && self.working() == Some(&content) {
            return Ok(());
        }
        content.facet().clone_into(&mut self.facet);
        self.draft = Some(Draft { content, in_review: false, note: String::new() });
        Ok(())
    }

    /// Asks for review, or takes that back.
    pub fn submit(&mut self, withdraw: bool, note: String) -> Result<(), Refusal> {
        if self.archived {
            return Err(Refusal::Archived);
        }
        let draft = self.draft.as_mut().ok_or(Refusal::NoDraft)?;
        draft.in_review = !withdraw;
        draft.note = note;
        Ok(())
    }

    /// The content that publishing would freeze. Without a draft it is the version in use, as what that pins may have
    /// moved on.
    pub fn to_publish(&self) -> Result<&C, Refusal> {
        if self.archived {
            return Err(Refusal::Archived);
        }
        self.working().ok_or(Refusal::NoDraft)
    }

    /// Whether frozen content says anything new.
    pub fn is_news(&self, hash: &str) -> bool {
        self.draft.is_some() || self.release().is_none_or(|r| r.hash != hash)
    }

    /// Makes frozen content the version in use. The draft is gone with it, unless this is a copy of an old version.
    pub fn release_as(&mut self, content: C, release: Release) -> Result<(), Refusal> {
        if self.archived {
            return Err(Refusal::Archived);
        }
        if release.copy_of.is_none() {
            self.draft = None;
        }
        let before = self.live.replace(Live { release, content });
        self.history.extend(before.map(|l| l.release));
        Ok(())
    }

    /// The number the next release gets.
    pub fn next_number(&self) -> u32 {
        self.release().map_or(1, |r| r.number + 1)
    }
}
