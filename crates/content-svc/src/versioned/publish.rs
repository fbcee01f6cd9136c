//! Publishing: from a draft to the version in use, and back to an older one.

use kit::Caller;

use super::model::{Content, Frozen, Object, Release, State};
use super::ops::{Objects, View, refused, view};
use super::store::StoredObject;
use crate::error::Error;
use crate::events;

impl<C: Content> Objects<C> {
    /// The object to publish and the draft to freeze, if the version read is the newest.
    pub async fn to_publish(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
    ) -> Result<(StoredObject<C>, C), Error> {
        let read = self.read(caller, id, version).await?;
        let content = read.body.to_publish().map_err(refused::<C>)?.clone();
        Ok((read, content))
    }

    /// Makes frozen content the version in use: the version is kept under its hash first, then one conditional write
    /// points at it and carries the events. A crash in between leaves a version nothing points at, which a retry uses.
    pub async fn publish(
        &self,
        caller: &Caller,
        read: &StoredObject<C>,
        head: Option<C::Head>,
        frozen: Frozen<C>,
        note: String,
    ) -> Result<View<C>, Error> {
        if !read.body.is_news(&frozen.hash) {
            return Err(Error::NoDraft);
        }
        let release = self.next(caller, read, frozen.hash.clone(), note, None);
        let mut object = read.body.clone();
        object.head = head.unwrap_or(object.head);
        self.store.freeze(&read.scope, frozen.clone()).await?;
        self.release(caller, read, object, frozen, release, "publish").await
    }

    /// Makes a copy of an old version the one in use. An open draft stays as it is.
    pub async fn rollback(
        &self,
        caller: &Caller,
        id: &str,
        version: i64,
        number: u32,
        note: String,
    ) -> Result<View<C>, Error> {
        let read = self.read(caller, id, version).await?;
        let old = read.body.numbered(number).map_err(refused::<C>)?.clone();
        let frozen = self.version(&read.scope, id, &old.hash).await?;
        let release = self.next(caller, &read, old.hash, note, Some(number));
        let object = read.body.clone();
        self.release(caller, &read, object, Frozen::clone(&frozen), release, "rollback").await
    }

    fn next(
        &self,
        caller: &Caller,
        read: &StoredObject<C>,
        hash: String,
        note: String,
        copy_of: Option<u32>,
    ) -> Release {
        Release {
            number: read.body.next_number(),
            hash,
            author: format!("{}:{}", caller.actor.kind, caller.actor.id),
            note,
            published_at: self.clock.now(),
            copy_of,
        }
    }

    async fn release(
        &self,
        caller: &Caller,
        read: &StoredObject<C>,
        mut object: Object<C::Head, C>,
        frozen: Frozen<C>,
        release: Release,
        act: &str,
    ) -> Result<View<C>, Error> {
        let (number, hash) = (release.number, release.hash.clone());
        let Frozen { content, pins, .. } = frozen;
        object.release_as(content, release).map_err(refused::<C>)?;
        let mut events = self.audit(caller, &read.scope, &read.id, act);
        let now = self.clock.now();
        events.push(events::content(&read.scope, now, "published", C::NOUN, &read.id, number, &hash));
        let stored = self.store.replace(read, object, events).await?;
        self.forget(&read.scope, &read.id);
        tracing::info!(
            content.kind = C::NOUN, content.id = %read.id, content.number = number,
            "{} {} is published as version {number}", C::NOUN, read.id
        );
        let mut view = view(stored);
        if view.state == State::Published {
            view.pins = pins;
        }
        Ok(view)
    }
}
