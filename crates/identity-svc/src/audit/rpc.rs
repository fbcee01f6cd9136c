//! The audit trail over gRPC.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use kit::{Caller, PageRequest};
use proto::google::api::HttpBody;
use proto::identity as pb;
use proto::identity::audit_service_server::AuditService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::export::{Format, file_name};
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
    type ExportAuditEntriesStream = BoxStream<'static, Result<HttpBody, Status>>;

    async fn export_audit_entries(
        &self,
        request: Request<pb::ExportAuditEntriesRequest>,
    ) -> Reply<Self::ExportAuditEntriesStream> {
        let caller = Caller::of(&request)?;
        let pb::ExportAuditEntriesRequest { format, actor_id, resource, resource_id, action, from, to } =
            request.into_inner();
        let format = match pb::AuditFormat::try_from(format) {
            Ok(pb::AuditFormat::Jsonl) => Format::JsonLines,
            _ => Format::Csv,
        };
        let search = Search {
            actor_id,
            resource,
            resource_id,
            action,
            from: from.as_ref().and_then(kit::time::from_proto),
            to: to.as_ref().and_then(kit::time::from_proto),
        };
        // An end without text: a file of no entries says its type, too.
        let end = futures_util::stream::once(async { Ok(String::new()) });
        let pieces = self.0.export(&caller, search, format).chain(end).map(move |piece| {
            let content_type = format.content_type().to_owned();
            piece.map_err(wrong).map(|text| HttpBody {
                content_type,
                data: text.into_bytes().into(),
                ..HttpBody::default()
            })
        });
        let mut response = Response::new(pieces.boxed());
        let name = file_name(caller.scope.as_ref(), format);
        let disposition = format!("attachment; filename=\"{name}\"").parse();
        response
            .metadata_mut()
            .insert("content-disposition", disposition.map_err(|_| Status::internal("no file name"))?);
        Ok(response)
    }

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
        position,
        previous_hash,
        hash,
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
        position,
        hash,
        previous_hash,
    }
}
