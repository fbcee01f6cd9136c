//! Exports over gRPC.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use kit::Caller;
use proto::billing as pb;
use proto::billing::customer_export_service_server::CustomerExportService;
use proto::google::api::HttpBody;
use store::Stored;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Response, Status};

use super::model::{Export, Format, State, Wanted};
use super::ops::{Exports, body};
use crate::customers::state_from;
use crate::error::Error;

pub(crate) struct Rpc(pub Exports);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl CustomerExportService for Rpc {
    type DownloadExportStream = BoxStream<'static, Result<HttpBody, Status>>;

    async fn export_customer_data(
        &self,
        request: Request<pb::ExportCustomerDataRequest>,
    ) -> Reply<pb::CustomerExport> {
        let caller = Caller::of(&request)?;
        let format = match request.get_ref().format() {
            pb::ExportFormat::JsonLines => Format::JsonLines,
            pb::ExportFormat::Csv | pb::ExportFormat::Unspecified => Format::Csv,
        };
        let pb::ExportCustomerDataRequest { format: _, state, tag, fresh } = request.into_inner();
        let wanted = Wanted { format, state: state_from(state), tag: Some(tag).filter(|t| !t.is_empty()) };
        let stored = self.0.begin(&caller, wanted, fresh).await.map_err(wrong)?;
        Ok(Response::new(export_to(stored)))
    }

    async fn get_export(&self, request: Request<pb::GetExportRequest>) -> Reply<pb::CustomerExport> {
        let caller = Caller::of(&request)?;
        let stored = self.0.get(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(export_to(stored)))
    }

    async fn download_export(
        &self,
        request: Request<pb::GetExportRequest>,
    ) -> Reply<Self::DownloadExportStream> {
        let caller = Caller::of(&request)?;
        let (stored, file) = self.0.download(&caller, &request.get_ref().id).await.map_err(wrong)?;
        let format = stored.body.wanted.format;
        let first = HttpBody { content_type: format.content_type().into(), ..HttpBody::default() };
        let rest = body(file).map(|piece| {
            let data = piece.map_err(wrong)?;
            Ok(HttpBody { data, ..HttpBody::default() })
        });
        let mut response = Response::new(stream::once(std::future::ready(Ok(first))).chain(rest).boxed());
        let name = format!("attachment; filename=\"customers.{}\"", format.extension());
        if let Ok(value) = AsciiMetadataValue::try_from(name) {
            response.metadata_mut().insert("content-disposition", value);
        }
        Ok(response)
    }
}

fn export_to(stored: Stored<Export>) -> pb::CustomerExport {
    let Stored { id, created_at, body, .. } = stored;
    let state = match body.state {
        State::Queued => pb::ExportState::Queued,
        State::Running => pb::ExportState::Running,
        State::Ready => pb::ExportState::Ready,
        State::Expired => pb::ExportState::Expired,
        State::Failed => pb::ExportState::Failed,
    };
    let format = match body.wanted.format {
        Format::Csv => pb::ExportFormat::Csv,
        Format::JsonLines => pb::ExportFormat::JsonLines,
    };
    let file = match body.state {
        State::Ready => format!("/v1/customer-data/exports/{id}/file"),
        _ => String::new(),
    };
    pb::CustomerExport {
        id,
        state: state.into(),
        format: format.into(),
        rows: u64::try_from(body.rows).unwrap_or(0),
        bytes: u64::try_from(body.bytes).unwrap_or(0),
        file,
        created_at: Some(kit::time::to_proto(created_at)),
        ready_at: body.ready_at.map(kit::time::to_proto),
        expires_at: body.expires_at.map(kit::time::to_proto),
    }
}
