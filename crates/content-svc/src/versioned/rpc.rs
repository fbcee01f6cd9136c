//! Versions, releases and pins on the wire.

use kit::time::to_proto;
use proto::content as pb;
use tonic::metadata::MetadataValue;
use tonic::{Response, Status};

use super::diff::Change;
use super::model::{Pin, Release, State};
use super::ops::Which;
use crate::error::Error;
use crate::wire::{mirror, reply};

mirror!(State => pb::ContentState { Draft, InReview, Published, Archived });

/// Which content a request asks for.
pub fn which(request: &pb::GetContentRequest) -> Which {
    match (request.published, request.number) {
        (true, _) => Which::Published,
        (false, 0) => Which::Working,
        (false, number) => Which::Number(number),
    }
}

/// The answer to a request for content. What is published is the same for everybody of the company, and the gateway is
/// told so.
pub fn answer<T>(request: &pb::GetContentRequest, found: Result<T, Error>) -> Result<Response<T>, Status> {
    let mut answer = reply(found)?;
    if request.published {
        answer.metadata_mut().insert(kit::client::SHARED, MetadataValue::from_static("content"));
    }
    Ok(answer)
}

/// The release in use.
pub fn in_use(release: Release) -> pb::Release {
    to_release(release, pb::ContentState::Published)
}

/// Every release, newest first; the first is the one in use.
pub fn releases(releases: Vec<Release>) -> pb::ReleaseList {
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
    let changes = changes.into_iter().map(|Change { field, before, after }| pb::Change {
        field,
        before: before.as_ref().map(proto::json::to_wire),
        after: after.as_ref().map(proto::json::to_wire),
    });
    pb::VersionDiff { from, to, changes: changes.collect() }
}

impl From<Pin> for pb::Pin {
    fn from(pin: Pin) -> Self {
        let Pin { kind, id, number, hash } = pin;
        Self { kind, id, number, hash }
    }
}
