//! Imports over gRPC.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::customer_import_service_server::CustomerImportService;
use proto::billing::import_part::Part;
use store::Stored;
use tonic::{Request, Response, Status, Streaming};

use super::model::{Counts, Import, RowFault, State};
use super::ops::{Head, Imports};
use crate::error::Error;

pub(crate) struct Rpc(pub Imports);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

fn scope(caller: &Caller) -> Result<&kit::Scope, Status> {
    caller.scope().map_err(|f| kit::error::status(&f))
}

#[tonic::async_trait]
impl CustomerImportService for Rpc {
    async fn upload_import(&self, request: Request<Streaming<pb::ImportPart>>) -> Reply<pb::CustomerImport> {
        let caller = Caller::of(&request)?;
        let mut parts = request.into_inner();
        let head = match parts.message().await?.and_then(|p| p.part) {
            Some(Part::Head(pb::ImportHead { file_name, content_type, mapping })) => {
                Head { file_name, content_type, mapping: mapping.into_iter().collect() }
            }
            _ => {
                return Err(wrong(Error::field("file", "required", "say what the file is before its bytes")));
            }
        };
        let chunks = futures_util::stream::unfold(Some(parts), |parts| async move {
            let mut parts = parts?;
            match parts.message().await.map(|m| m.and_then(|p| p.part)) {
                Ok(Some(Part::Chunk(bytes))) => Some((Ok(bytes), Some(parts))),
                Ok(Some(Part::End(_))) => None,
                Ok(Some(Part::Head(_))) => {
                    Some((Err(Status::invalid_argument("only bytes after the head")), None))
                }
                Ok(None) => Some((Err(Status::cancelled("the file broke off")), None)),
                Err(broken) => Some((Err(broken), None)),
            }
        });
        let stored = self.0.upload(&caller, head, chunks).await.map_err(wrong)?;
        Ok(Response::new(import_to(stored)))
    }

    async fn list_imports(&self, request: Request<pb::ListImportsRequest>) -> Reply<pb::ListImportsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListImportsRequest { limit, cursor } = request.into_inner();
        let page = self.0.list(scope(&caller)?, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let page = page.map(import_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListImportsResponse { items: page.items, next_cursor }))
    }

    async fn get_import(&self, request: Request<pb::GetImportRequest>) -> Reply<pb::CustomerImport> {
        let caller = Caller::of(&request)?;
        let stored = self.0.get(scope(&caller)?, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(import_to(stored)))
    }

    async fn list_import_errors(
        &self,
        request: Request<pb::ListImportErrorsRequest>,
    ) -> Reply<pb::ListImportErrorsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListImportErrorsRequest { id, limit, cursor } = request.into_inner();
        let page = PageRequest::new(limit, cursor);
        let page = self.0.faults(scope(&caller)?, &id, &page).await.map_err(wrong)?.map(fault_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListImportErrorsResponse { items: page.items, next_cursor }))
    }

    async fn cancel_import(&self, request: Request<pb::CancelImportRequest>) -> Reply<pb::CustomerImport> {
        let caller = Caller::of(&request)?;
        let stored = self.0.cancel(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(import_to(stored)))
    }
}

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

fn import_to(stored: Stored<Import>) -> pb::CustomerImport {
    let Stored { id, version, created_at, body, .. } = stored;
    let Counts { rows, created, updated, unchanged, rejected } = body.counts;
    let state = match body.state {
        State::Queued => pb::ImportState::Queued,
        State::Importing => pb::ImportState::Importing,
        State::Completed => pb::ImportState::Completed,
        State::CompletedWithErrors => pb::ImportState::CompletedWithErrors,
        State::Failed => pb::ImportState::Failed,
        State::Canceled => pb::ImportState::Canceled,
    };
    pb::CustomerImport {
        id,
        file_name: body.file_name,
        hash: body.hash,
        bytes: unsigned(body.bytes),
        state: state.into(),
        rows: unsigned(rows),
        created: unsigned(created),
        updated: unsigned(updated),
        unchanged: unsigned(unchanged),
        rejected: unsigned(rejected),
        reason: body.reason,
        uploaded_by: body.uploaded_by,
        created_at: Some(kit::time::to_proto(created_at)),
        finished_at: body.finished_at.map(kit::time::to_proto),
        version,
    }
}

fn fault_to(stored: Stored<RowFault>) -> pb::ImportError {
    let RowFault { import_id: _, row, field, code, message, forget_at: _ } = stored.body;
    pb::ImportError { row: unsigned(row), field, code, message }
}
