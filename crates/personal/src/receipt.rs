//! What a service has answered, kept beside the event that tells it.

use kit::{Outgoing, Scope, SharedClock, Timestamp};
use mongodb::Database;
use prost::Message as _;
use proto::events::event::Data;
use proto::events::{Event, PrivacyDone, PrivacyHold, PrivacyReceipt};
use serde::{Deserialize, Serialize};
use store::{Record, Repo, Stored};

use crate::order::{Done, Held, Kind, Part};

/// Where receipts lie; their events are relayed from there.
pub const COLLECTION: &str = "privacy_receipts";
/// How often a write is tried again that somebody else came before.
const TRIES: usize = 8;

/// A receipt as it was given. Has its request's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub kind: Kind,
    pub part: Part,
}

impl Record for Given {
    const COLLECTION: &'static str = COLLECTION;
    const NOUN: &'static str = "receipt";
}

/// The receipts of one service.
#[derive(Clone)]
pub struct Receipts {
    service: &'static str,
    repo: Repo<Given>,
    clock: SharedClock,
}

impl Receipts {
    pub async fn open(service: &'static str, db: &Database, clock: SharedClock) -> store::Result<Self> {
        Ok(Self { service, repo: Repo::open(db, clock.clone()).await?, clock })
    }

    /// Gives a receipt. Given again for the same order, it is told again, with what was done in all.
    pub async fn give(&self, scope: &Scope, request: &str, kind: Kind, part: Part) -> store::Result<Part> {
        self.change(scope, request, kind, |known| match known {
            Some(known) if known.kind == kind => known.part.clone().and(part.clone()),
            _ => part.clone(),
        })
        .await
    }

    /// Some of what was held is not any more: what is left of it, and what became of the rest.
    pub async fn release(
        &self,
        scope: &Scope,
        request: &str,
        held: Vec<Held>,
        done: Done,
    ) -> store::Result<Part> {
        self.change(scope, request, Kind::Erasure, |known| {
            let part = known.map(|k| k.part.clone()).unwrap_or_default().and(Part::of(done.clone()));
            Part { held: held.clone(), ..part }
        })
        .await
    }

    async fn change(
        &self,
        scope: &Scope,
        request: &str,
        kind: Kind,
        next: impl Fn(Option<&Given>) -> Part,
    ) -> store::Result<Part> {
        for _ in 0..TRIES {
            let known = self.repo.find(scope, bson::doc! { "_id": request }).await?;
            let part = next(known.as_ref().map(|k| &k.body));
            let given = Given { kind, part: part.clone() };
            let version = known.as_ref().map_or(1, |k| k.version + 1);
            let told = vec![event(self.service, scope, request, version, &given, self.clock.now())];
            let written = match known {
                None => self.repo.insert(scope, request.to_owned(), given, told).await,
                Some(read) => self.repo.replace(&read, given, told).await,
            };
            match written {
                Err(store::Error::Stale(_) | store::Error::Duplicate(_)) => {}
                Err(other) => return Err(other),
                Ok(_) => return Ok(part),
            }
        }
        Err(store::Error::Busy)
    }

    pub async fn get(&self, scope: &Scope, request: &str) -> store::Result<Stored<Given>> {
        self.repo.get(scope, request).await
    }
}

/// `privacy.receipt`.
fn event(
    service: &str,
    scope: &Scope,
    request: &str,
    sequence: i64,
    given: &Given,
    at: Timestamp,
) -> Outgoing {
    let Given { kind, part: Part { done, held } } = given;
    let whole = |n: i64| u64::try_from(n).unwrap_or(0);
    let done = done.iter().map(|Done { what, how, count, why }| PrivacyDone {
        what: what.clone(),
        how: how.as_str().into(),
        count: whole(*count),
        why: why.clone(),
    });
    let held = held.iter().map(|Held { what, count, why, until }| PrivacyHold {
        what: what.clone(),
        count: whole(*count),
        why: why.clone(),
        until: Some(kit::time::to_proto(*until)),
    });
    let data = PrivacyReceipt {
        request_id: request.to_owned(),
        service: service.to_owned(),
        kind: kind.as_str().to_owned(),
        done: done.collect(),
        held: held.collect(),
    };
    let (id, name) = (kit::id::new("evt"), "privacy.receipt");
    let event = Event {
        id: id.clone(),
        r#type: name.to_owned(),
        version: 1,
        company_id: scope.company.clone(),
        mode: scope.mode.as_str().to_owned(),
        occurred_at: Some(kit::time::to_proto(at)),
        subject: request.to_owned(),
        sequence,
        data: Some(Data::PrivacyReceipt(data)),
    };
    Outgoing {
        id,
        kind: name.to_owned(),
        subject: request.to_owned(),
        scope: scope.clone(),
        occurred_at: at,
        body: event.encode_to_vec().into(),
        traceparent: kit::telemetry::traceparent(),
    }
}
