//! The audit trail over gRPC.

use kit::{Caller, PageRequest};
use proto::identity as pb;
use proto::identity::audit_service_server::AuditService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Entry, Search};
use super::ops::Audit;
use crate::error::Error;
use proto::json::object_to_wire;

pub(crate) struct Rpc(pub Audit);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl AuditService for Rpc {
    async fn list_audit_entries(
        &self,
        request: Request<pb::ListAuditEntriesRequest>,
    ) -> Reply<pb::ListAuditEntriesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListAuditEntriesRequest { limit, cursor, actor_id, resource, resource_id, action, from, to } =
            request.into_inner();
        let search = Search {
            actor_id,
            resource,
            resource_id,
            action,
            from: from.as_ref().and_then(kit::time::from_proto),
            to: to.as_ref().and_then(kit::time::from_proto),
        };
        let page = PageRequest::new(limit, cursor);
        let page = self.0.list(&caller, &search, &page).await.map_err(wrong)?.map(entry_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListAuditEntriesResponse { items: page.items, next_cursor }))
    }

    async fn get_audit_entry(&self, request: Request<pb::GetAuditEntryRequest>) -> Reply<pb::AuditEntry> {
        let caller = Caller::of(&request)?;
        let found = self.0.get(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(entry_to(found)))
    }
}

fn entry_to(stored: Stored<Entry>) -> pb::AuditEntry {
    let Stored { id, scope: _, version: _, created_at: _, updated_at: _, body } = stored;
    let Entry {
        actor_kind,
        actor_id,
        role,
        resource,
        resource_id,
        action,
        before,
        after,
        reason,
        request_id,
        occurred_at,
    } = body;
    let wire = |text: Option<String>| object_to_wire(&serde_json::from_str(&text?).ok()?);
    pb::AuditEntry {
        id,
        actor_kind,
        actor_id,
        role,
        resource,
        resource_id,
        action,
        before: wire(before),
        after: wire(after),
        reason,
        request_id,
        occurred_at: Some(kit::time::to_proto(occurred_at)),
    }
}
