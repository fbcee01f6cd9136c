//! What can be done with versioned content, once for every kind of it. A room adds its checks and its routes.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kit::{Caller, Outgoing, Page, PageRequest, Scope, SharedClock, Timestamp};
use moka::sync::Cache;

use super::diff::{Change, changes};
use super::model::{Content, Frozen, Object, Published, Refusal, Release, State};
use super::store::{Filter, ObjectStore, StoredObject};
use crate::error::Error;
use crate::events;
use crate::text::Findings;

/// How long a pointer to the version in use is believed at most; the event drops it earlier.
const POINTER_LIFE: Duration = Duration::from_secs(5);

/// Which of an object's contents is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Working,
    /// What customers see.
    Published,
    /// The release of this number.
    Number(u32),
}

/// An object as it is shown.
#[derive(Clone, Debug)]
pub struct View<C: Content> {
    pub id: String,
    pub name: String,
    pub head: C::Head,
    pub state: State,
    /// The content that was asked for, and what it pins; shared where it came from memory.
    pub content: Option<C>,
    pub pins: Vec<super::model::Pin>,
    pub release: Option<Release>,
    pub warnings: Findings,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub version: i64,
}

/// The objects of one kind.
#[derive(Clone)]
pub struct Objects<C: Content> {
    pub(crate) store: ObjectStore<C>,
    pub(crate) clock: SharedClock,
    frozen: Cache<(Scope, String), Arc<Frozen<C>>>,
    live: Cache<(Scope, String), Pointer<C>>,
}

/// What a view of a published version needs beside the version.
#[derive(Clone, Copy, Debug)]
struct Shown {
    state: State,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

/// The version in use, with what a view of it needs.
type Pointer<C> = Arc<(Published<C>, Shown)>;

impl<C: Content> Objects<C> {
    pub fn new(store: ObjectStore<C>, clock: SharedClock) -> Self {
        Self {
            store,
            clock,
            frozen: Cache::new(5_000),
            live: Cache::builder().max_capacity(20_000).time_to_live(POINTER_LIFE).build(),
        }
    }

    /// A new object, in draft.
    pub async fn create(
        &self,
        caller: &Caller,
        name: String,
        head: C::Head,
        content: C,
    ) -> Result<View<C>, Error> {
        self.create_as(caller, kit::id::new(C::PREFIX), name, head, content).await
    }

    /// The same under an id that was chosen for it.
    pub async fn create_as(
        &self,
        caller: &Caller,
        id: String,
        name: String,
        head: C::Head,
        content: C,
    ) -> Result<View<C>, Error> {
        let scope = caller.scope()?;
        let audit = self.audit(caller, scope, &id, "create");
        let stored = self.store.insert(scope, id, Object::new(name, head, content), audit).await?;
        Ok(view(stored))
    }

    /// One object, with the content that is asked for.
    pub async fn get(&self, caller: &Caller, id: &str, which: Which) -> Result<View<C>, Error> {
        let scope = caller.scope()?;
        if which == Which::Published {
            let found = self.pointer(scope, id).await?;
            return found
                .map(|f| published_view(&f))
                .ok_or_else(|| not_there::<C>("published version").into());
        }
        let stored = self.store.get(scope, id).await?;
        let Which::Number(number) = which else { return Ok(view(stored)) };
        let release = stored.body.numbered(number).map_err(refused::<C>)?.clone();
        let frozen = self.version(scope, id, &release.hash).await?;
        let mut view = view(stored);
        view.content = Some(frozen.content.clone());
        view.pins.clone_from(&frozen.pins);
        Ok(view)
    }

    /// One page of objects, in the order of the kind.
    pub async fn list(
        &self,
        caller: &Caller,
        filter: Filter,
        page: &PageRequest,
    ) -> Result<Page<View<C>>, Error> {
        Ok(self.store.list(caller.scope()?, filter, page).await?.map(view))
    }

    /// Changes an object. Changed content opens a draft, or changes the one that is open.
    pub async fn edit(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        change: impl FnOnce(&mut Object<C::Head, C>) -> Result<(), Refusal>,
    ) -> Result<View<C>, Error> {
        let read = self.read(caller, id, version).await?;
        let mut object = read.body.clone();
        if object.archived {
            return Err(Error::Archived);
        }
        change(&mut object).map_err(refused::<C>)?;
        if object == read.body {
            return Ok(view(read));
        }
        let audit = self.audit(caller, &read.scope, id, "update");
        Ok(view(self.store.replace(&read, object, audit).await?))
    }

    /// Asks for the draft to be published, or takes that back.
    pub async fn submit(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        withdraw: bool,
        note: String,
    ) -> Result<View<C>, Error> {
        let read = self.read(caller, id, version).await?;
        let mut object = read.body.clone();
        object.submit(withdraw, note).map_err(refused::<C>)?;
        let act = if withdraw { "withdraw" } else { "submit" };
        let audit = self.audit(caller, &read.scope, id, act);
        Ok(view(self.store.replace(&read, object, audit).await?))
    }

    /// Takes an object out of use. Twice is once.
    pub async fn archive(&self, caller: &Caller, id: &str) -> Result<View<C>, Error> {
        self.change(caller, id, "archive", "archived", |object| object.archived = true).await
    }

    /// Changes what is not versioned, whatever the version is, and tells every replica that customers see another thing.
    pub async fn change(
        &self,
        caller: &Caller,
        id: &str,
        act: &str,
        verb: &str,
        change: impl Fn(&mut Object<C::Head, C>),
    ) -> Result<View<C>, Error> {
        let scope = caller.scope()?;
        loop {
            let read = self.store.get(scope, id).await?;
            let mut object = read.body.clone();
            change(&mut object);
            if object == read.body {
                return Ok(view(read));
            }
            let mut events = self.audit(caller, scope, id, act);
            let (number, hash) = object.release().map_or((0, ""), |r| (r.number, r.hash.as_str()));
            events.push(events::content(scope, self.clock.now(), verb, C::NOUN, id, number, hash));
            match self.store.replace(&read, object, events).await {
                Err(store::Error::Stale(_)) => {}
                other => {
                    self.forget(scope, id);
                    return Ok(view(other?));
                }
            }
        }
    }

    /// A copy of the working copy as a new object.
    pub async fn duplicate(
        &self,
        caller: &Caller,
        id: &str,
        name: String,
        head: impl FnOnce(C::Head) -> C::Head,
    ) -> Result<View<C>, Error> {
        let scope = caller.scope()?;
        let read = self.store.get(scope, id).await?;
        let content = read.body.working().ok_or_else(|| not_there::<C>("content"))?.clone();
        let name = if name.is_empty() { format!("{} (copy)", read.body.name) } else { name };
        self.create(caller, name, head(read.body.head), content).await
    }

    /// Every release, newest first.
    pub async fn releases(&self, caller: &Caller, id: &str) -> Result<Vec<Release>, Error> {
        let stored = self.store.get(caller.scope()?, id).await?;
        Ok(stored.body.releases().into_iter().cloned().collect())
    }

    /// What changed from one release to another.
    pub async fn diff(&self, caller: &Caller, id: &str, from: u32, to: u32) -> Result<Vec<Change>, Error> {
        let scope = caller.scope()?;
        let stored = self.store.get(scope, id).await?;
        let before = stored.body.numbered(from).map_err(refused::<C>)?;
        let after = stored.body.numbered(to).map_err(refused::<C>)?;
        let before = self.version(scope, id, &before.hash).await?;
        let after = self.version(scope, id, &after.hash).await?;
        changes(&before.content, &after.content).map_err(|e| kit::Fault::internal(e).into())
    }

    /// Objects with everything in them, in no order; unknown ids are left out.
    pub async fn several(&self, scope: &Scope, ids: &[&str]) -> Result<Vec<StoredObject<C>>, Error> {
        Ok(self.store.several(scope, ids).await?)
    }

    /// One object with everything in it, for rooms of this service.
    pub async fn one(&self, scope: &Scope, id: &str) -> Result<StoredObject<C>, Error> {
        Ok(self.store.get(scope, id).await?)
    }

    /// The version in use, from memory where it is there; none where there is none or the object is archived.
    pub async fn published(&self, scope: &Scope, id: &str) -> Result<Option<Published<C>>, Error> {
        Ok(self.pointer(scope, id).await?.map(|found| found.0.clone()))
    }

    /// The versions in use of several objects, read now and in one query: what is pinned must not be a remembered one.
    pub async fn newest(&self, scope: &Scope, ids: &[&str]) -> Result<Vec<Published<C>>, Error> {
        let mut found = Vec::new();
        for stored in self.store.several(scope, ids).await? {
            if !stored.body.archived {
                found.extend(self.as_published(&stored).await?);
            }
        }
        Ok(found)
    }

    /// The objects, in use or in draft, whose content holds this text in a field.
    pub async fn holding(
        &self,
        scope: &Scope,
        field: &str,
        text: &str,
    ) -> Result<Vec<StoredObject<C>>, Error> {
        Ok(self.store.holding(scope, field, text).await?)
    }

    /// Every object of a company that is not archived; for kinds a company has dozens of.
    pub async fn all(&self, scope: &Scope) -> Result<Vec<StoredObject<C>>, Error> {
        Ok(self.store.everything(scope).await?)
    }

    /// Every object in use whose version in use holds this text in a field.
    pub async fn in_use(
        &self,
        scope: &Scope,
        field: &str,
        text: &str,
    ) -> Result<Vec<StoredObject<C>>, Error> {
        Ok(self.store.in_use(scope, field, text).await?)
    }

    /// Every object in use, live or in draft, that holds one of these values in one of these fields.
    pub async fn naming(
        &self,
        scope: &Scope,
        fields: &[(String, Vec<String>)],
    ) -> Result<Vec<StoredObject<C>>, Error> {
        Ok(self.store.naming(scope, fields).await?)
    }

    /// Every object in use whose version in use is one of these.
    pub async fn live_as(
        &self,
        scope: &Scope,
        hashes: &HashSet<String>,
    ) -> Result<Vec<StoredObject<C>>, Error> {
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.store.live_as(scope, hashes).await?)
    }

    /// The hashes of the frozen versions, in use or not, that hold one of these values in one of these fields.
    pub async fn frozen_naming(
        &self,
        scope: &Scope,
        fields: &[(String, Vec<String>)],
    ) -> Result<HashSet<String>, Error> {
        Ok(self.store.frozen_naming(scope, fields).await?)
    }

    /// The hashes of the frozen versions, in use or not, that pin one of these.
    pub async fn frozen_pinning(
        &self,
        scope: &Scope,
        hashes: &HashSet<String>,
    ) -> Result<HashSet<String>, Error> {
        if hashes.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(self.store.frozen_pinning(scope, hashes).await?)
    }

    /// The content that publishing would freeze.
    pub async fn working(&self, scope: &Scope, id: &str) -> Result<C, Error> {
        Ok(self.store.get(scope, id).await?.body.to_publish().map_err(refused::<C>)?.clone())
    }

    async fn pointer(&self, scope: &Scope, id: &str) -> Result<Option<Pointer<C>>, Error> {
        let key = (scope.clone(), id.to_owned());
        if let Some(found) = self.live.get(&key) {
            return Ok(Some(found));
        }
        let stored = match self.store.get(scope, id).await {
            Err(store::Error::NotFound(_)) => return Ok(None),
            other => other?,
        };
        if stored.body.archived {
            return Ok(None);
        }
        let Some(found) = self.as_published(&stored).await? else { return Ok(None) };
        let shown = Shown {
            state: stored.body.state(),
            created_at: stored.created_at,
            updated_at: stored.updated_at,
            version: stored.version,
        };
        let found = Arc::new((found, shown));
        self.live.insert(key, found.clone());
        Ok(Some(found))
    }

    /// The version in use of an object that was read.
    pub async fn as_published(&self, stored: &StoredObject<C>) -> Result<Option<Published<C>>, Error> {
        let Some(release) = stored.body.release() else { return Ok(None) };
        let frozen = self.version(&stored.scope, &stored.id, &release.hash).await?;
        Ok(Some(Published {
            id: stored.id.clone(),
            name: stored.body.name.clone(),
            head: stored.body.head.clone(),
            release: release.clone(),
            frozen,
        }))
    }

    /// A frozen version, from memory where it is there: it never changes.
    pub async fn version(&self, scope: &Scope, id: &str, hash: &str) -> Result<Arc<Frozen<C>>, Error> {
        let key = (scope.clone(), Frozen::<C>::key(id, hash));
        if let Some(found) = self.frozen.get(&key) {
            return Ok(found);
        }
        let found = Arc::new(self.store.version(scope, id, hash).await?);
        self.frozen.insert(key, found.clone());
        Ok(found)
    }

    /// The frozen version of a release, by its number.
    pub async fn numbered(&self, scope: &Scope, id: &str, number: u32) -> Result<Arc<Frozen<C>>, Error> {
        let stored = self.store.get(scope, id).await?;
        let hash = stored.body.numbered(number).map_err(refused::<C>)?.hash.clone();
        self.version(scope, id, &hash).await
    }

    /// Drops what is believed to be the version in use.
    pub fn forget(&self, scope: &Scope, id: &str) {
        self.live.invalidate(&(scope.clone(), id.to_owned()));
    }

    pub(super) async fn read(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
    ) -> Result<StoredObject<C>, Error> {
        let read = self.store.get(caller.scope()?, id).await?;
        if read.version == version { Ok(read) } else { Err(Error::Stale) }
    }

    pub(super) fn audit(&self, caller: &Caller, scope: &Scope, id: &str, act: &str) -> Vec<Outgoing> {
        vec![events::audited(caller, scope, self.clock.now(), C::NOUN, id, act)]
    }
}

pub(super) fn view<C: Content>(stored: StoredObject<C>) -> View<C> {
    let StoredObject::<C> { id, version, created_at, updated_at, body, .. } = stored;
    let state = body.state();
    let Object { name, head, draft, live, .. } = body;
    let (release, in_use) = live.map_or((None, None), |l| (Some(l.release), Some(l.content)));
    View {
        id,
        name,
        head,
        state,
        content: draft.map(|d| d.content).or(in_use),
        pins: Vec::new(),
        release,
        warnings: Findings::default(),
        created_at,
        updated_at,
        version,
    }
}

fn published_view<C: Content>((found, shown): &(Published<C>, Shown)) -> View<C> {
    View {
        id: found.id.clone(),
        name: found.name.clone(),
        head: found.head.clone(),
        state: shown.state,
        content: Some(found.frozen.content.clone()),
        pins: found.frozen.pins.clone(),
        release: Some(found.release.clone()),
        warnings: Findings::default(),
        created_at: shown.created_at,
        updated_at: shown.updated_at,
        version: shown.version,
    }
}

/// The warnings of content that may be published, or the refusal of content that may not.
pub fn publishable(found: Findings) -> Result<Findings, Error> {
    if found.has_errors() { Err(Error::NotPublishable(found.into_vec())) } else { Ok(found) }
}

fn not_there<C: Content>(what: &str) -> kit::Fault {
    kit::Fault::not_found(&format!("{what} of this {}", C::NOUN))
}

pub(super) fn refused<C: Content>(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Archived => Error::Archived,
        Refusal::NoDraft => Error::NoDraft,
        Refusal::NoSuchRelease => not_there::<C>("version").into(),
    }
}
