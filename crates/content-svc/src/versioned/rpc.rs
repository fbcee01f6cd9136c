//! Versions, releases and pins on the wire.

use kit::Caller;
use kit::time::to_proto;
use proto::content as pb;
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::diff::Change;
use super::model::{Content, Pin, Release, State};
use super::ops::{Objects, View, Which};
use crate::wire::{Reply, mirror, reply};

mirror!(State => pb::ContentState { Draft, InReview, Published, Archived });

fn which(request: &pb::GetContentRequest) -> Which {
    match (request.published, request.number) {
        (true, _) => Which::Published,
        (false, 0) => Which::Working,
        (false, number) => Which::Number(number),
    }
}

/// Content as it is asked for. What is published is the same for everybody of the company, and the gateway is told so.
pub async fn get<C: Content, T: From<View<C>>>(
    objects: &Objects<C>,
    request: Request<pb::GetContentRequest>,
) -> Reply<T> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let found = objects.get(&caller, &asked.id, which(&asked)).await;
    let mut answer = reply(found.map(Into::into))?;
    if asked.published {
        answer.metadata_mut().insert(kit::client::SHARED, MetadataValue::from_static("content"));
    }
    Ok(answer)
}

/// Hands a draft in for review, or takes it back.
pub async fn submit<C: Content, T: From<View<C>>>(
    objects: &Objects<C>,
    request: Request<pb::SubmitContentRequest>,
) -> Reply<T> {
    let caller = Caller::of(&request)?;
    let pb::SubmitContentRequest { id, version, withdraw, note } = request.into_inner();
    reply(objects.submit(&caller, &id, version, withdraw, note).await.map(Into::into))
}

/// Makes a copy of an old release the one in use.
pub async fn rollback<C: Content, T: From<View<C>>>(
    objects: &Objects<C>,
    request: Request<pb::RollbackContentRequest>,
) -> Reply<T> {
    let caller = Caller::of(&request)?;
    let pb::RollbackContentRequest { id, version, number, note } = request.into_inner();
    reply(objects.rollback(&caller, &id, version, number, note).await.map(Into::into))
}

/// Takes content out of use.
pub async fn archive<C: Content, T: From<View<C>>>(
    objects: &Objects<C>,
    request: Request<pb::ArchiveContentRequest>,
) -> Reply<T> {
    let caller = Caller::of(&request)?;
    reply(objects.archive(&caller, &request.into_inner().id).await.map(Into::into))
}

/// Every release, newest first.
pub async fn list<C: Content>(
    objects: &Objects<C>,
    request: Request<pb::ContentIdRequest>,
) -> Reply<pb::ReleaseList> {
    let caller = Caller::of(&request)?;
    reply(objects.releases(&caller, &request.into_inner().id).await.map(releases))
}

/// The release in use.
pub fn in_use(release: Release) -> pb::Release {
    to_release(release, pb::ContentState::Published)
}

/// The first is the one in use.
fn releases(releases: Vec<Release>) -> pb::ReleaseList {
    let state = |i| if i == 0 { pb::ContentState::Published } else { pb::ContentState::Archived };
    let items = releases.into_iter().enumerate().map(|(i, r)| to_release(r, state(i))).collect();
    pb::ReleaseList { items }
}

fn to_release(release: Release, state: pb::ContentState) -> pb::Release {
    let Release { number, hash, author, note, published_at, copy_of } = release;
    pb::Release {
        number,
        hash,
        author,
        note,
        published_at: Some(to_proto(published_at)),
        copy_of: copy_of.unwrap_or(0),
        state: state.into(),
    }
}

/// What changed between two releases.
pub fn diff(from: u32, to: u32, changes: Vec<Change>) -> pb::VersionDiff {
    pb::VersionDiff { from, to, changes: changes.into_iter().map(Into::into).collect() }
}

impl From<Change> for pb::Change {
    fn from(change: Change) -> Self {
        let Change { field, before, after } = change;
        let wire = |value: Option<serde_json::Value>| value.as_ref().map(proto::json::to_wire);
        Self { field, before: wire(before), after: wire(after) }
    }
}

impl From<Pin> for pb::Pin {
    fn from(pin: Pin) -> Self {
        let Pin { kind, id, number, hash } = pin;
        Self { kind, id, number, hash }
    }
}
