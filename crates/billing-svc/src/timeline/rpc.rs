//! Timelines over gRPC.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::timeline_service_server::TimelineService;
use serde_json::Value;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Entry, Kind};
use super::ops::Timeline;

pub(crate) struct Rpc(pub Timeline);

#[tonic::async_trait]
impl TimelineService for Rpc {
    async fn get_customer_timeline(
        &self,
        request: Request<pb::GetCustomerTimelineRequest>,
    ) -> Result<Response<pb::GetCustomerTimelineResponse>, Status> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let kinds: Vec<_> = request.get_ref().kinds().filter_map(kind_from).collect();
        let pb::GetCustomerTimelineRequest { id, limit, cursor, kinds: _ } = request.into_inner();
        let page = self.0.of(scope, &id, &kinds, &PageRequest::new(limit, cursor)).await;
        let page = page.map_err(|e| kit::error::status(&e))?.map(entry_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::GetCustomerTimelineResponse { items: page.items, next_cursor }))
    }
}

fn entry_to(stored: Stored<Entry>) -> pb::TimelineEntry {
    let Entry { customer_id, kind, r#type, subject, details, occurred_at, forget_at: _ } = stored.body;
    pb::TimelineEntry {
        id: stored.id,
        kind: kind_to(kind).into(),
        r#type,
        occurred_at: Some(kit::time::to_proto(occurred_at)),
        customer_id,
        subject,
        details: proto::json::object_to_wire(&Value::Object(details)),
    }
}

fn kind_to(kind: Kind) -> pb::TimelineKind {
    match kind {
        Kind::Customer => pb::TimelineKind::Customer,
        Kind::Subscription => pb::TimelineKind::Subscription,
        Kind::Payment => pb::TimelineKind::Payment,
        Kind::Offer => pb::TimelineKind::Offer,
        Kind::Flow => pb::TimelineKind::Flow,
        Kind::Ticket => pb::TimelineKind::Ticket,
        Kind::Mail => pb::TimelineKind::Mail,
        Kind::Upload => pb::TimelineKind::Upload,
        Kind::Persona => pb::TimelineKind::Persona,
        Kind::Tag => pb::TimelineKind::Tag,
        Kind::Merge => pb::TimelineKind::Merge,
    }
}

fn kind_from(kind: pb::TimelineKind) -> Option<Kind> {
    Some(match kind {
        pb::TimelineKind::Unspecified => return None,
        pb::TimelineKind::Customer => Kind::Customer,
        pb::TimelineKind::Subscription => Kind::Subscription,
        pb::TimelineKind::Payment => Kind::Payment,
        pb::TimelineKind::Offer => Kind::Offer,
        pb::TimelineKind::Flow => Kind::Flow,
        pb::TimelineKind::Ticket => Kind::Ticket,
        pb::TimelineKind::Mail => Kind::Mail,
        pb::TimelineKind::Upload => Kind::Upload,
        pb::TimelineKind::Persona => Kind::Persona,
        pb::TimelineKind::Tag => Kind::Tag,
        pb::TimelineKind::Merge => Kind::Merge,
    })
}
