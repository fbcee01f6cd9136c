//! `audit.recorded` of every service, into the trail.

use async_trait::async_trait;
use bus::{Handler, Incoming, Outcome};
use kit::{Mode, Scope};
use prost::Message as _;
use proto::events::event::Data;

use super::model::{Entry, scrubbed};
use super::ops::Audit;

/// Writes events into the trail.
pub struct Recorder(pub Audit);

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let read: Vec<_> = batch.iter().map(entry_of).collect();
        let written = self.0.record(read.iter().flatten().cloned().collect()).await;
        let outcome = |entry: &Option<_>| match (entry, &written) {
            (None, _) => Outcome::Dead(String::from("this is no audit event")),
            (Some(_), Ok(())) => Outcome::Done,
            (Some(_), Err(e)) => Outcome::Retry(e.to_string()),
        };
        read.iter().map(outcome).collect()
    }
}

fn entry_of(incoming: &Incoming) -> Option<(Scope, String, Entry)> {
    let event = proto::events::Event::decode(incoming.body.clone()).ok()?;
    // Company and mode stand in the event: the record it rode in may belong to the installation.
    let scope = Scope::new(event.company_id, Mode::parse(&event.mode)?);
    let Some(Data::Audited(a)) = event.data else { return None };
    let json = |s: Option<prost_types::Struct>| {
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(s?)) };
        Some(scrubbed(proto::json::from_wire(value)).to_string())
    };
    let id = format!("aud_{}", incoming.id.trim_start_matches("evt_"));
    let entry = Entry {
        actor_kind: a.actor_kind,
        actor_id: a.actor_id,
        role: a.role,
        resource: a.resource,
        resource_id: a.resource_id,
        action: a.action,
        before: json(a.before),
        after: json(a.after),
        reason: a.reason,
        request_id: a.request_id,
        occurred_at: incoming.occurred_at,
        // Its place is found when it is written.
        position: 0,
        previous_hash: String::new(),
        hash: String::new(),
    };
    Some((scope, id, entry))
}
