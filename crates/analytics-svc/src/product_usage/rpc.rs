//! The gRPC face of usage files and datasets.

use bytes::Bytes;
use kit::error::status;
use kit::time::to_proto;
use kit::{Caller, PageRequest};
use proto::analytics as pb;
use proto::google::api::HttpBody;
use store::Stored;
use tonic::{Request, Response, Status, Streaming};

use super::model::{Column, ColumnType, Counts, Dataset, Grain, JoinKey, RowError, State, Upload};
use super::ops::{Head, Usage};
use super::store::Kept;
use crate::error::Error;
use crate::persona::wire;

pub struct Rpc {
    pub usage: Usage,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl pb::product_usage_service_server::ProductUsageService for Rpc {
    async fn upload_usage(&self, request: Request<Streaming<pb::UploadPart>>) -> Reply<pb::UsageUpload> {
        let caller = Caller::of(&request)?;
        let mut parts = request.into_inner();
        let refused = |text: &str| status(&Error::field("file", "required", text));
        let head = match parts.message().await?.and_then(|p| p.part) {
            Some(pb::upload_part::Part::Head(head)) => Head::from(head),
            _ => return Err(refused("say what the file is before its bytes")),
        };
        let chunks = futures_util::stream::unfold(Some(parts), |parts| async move {
            use pb::upload_part::Part;
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
        let chunks = std::pin::pin!(chunks);
        let uploaded = self.usage.upload(&caller, head, chunks).await.map_err(|e| status(&e))?;
        Ok(Response::new(upload(uploaded)))
    }

    async fn list_uploads(&self, request: Request<pb::ListUploadsRequest>) -> Reply<pb::ListUploadsResponse> {
        let caller = Caller::of(&request)?;
        let wanted = request.get_ref().state();
        let pb::ListUploadsRequest { limit, cursor, dataset, state: _ } = request.into_inner();
        let listed = async {
            let dataset = Some(dataset).filter(|d| !d.is_empty());
            let page = PageRequest::new(limit, cursor);
            self.usage.list(caller.scope()?, dataset, state(wanted), &page).await
        };
        let page = listed.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(pb::ListUploadsResponse {
            items: page.items.into_iter().map(upload).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn get_upload(&self, request: Request<pb::GetUploadRequest>) -> Reply<pb::UsageUpload> {
        let caller = Caller::of(&request)?;
        let got = async { self.usage.get(caller.scope()?, &request.get_ref().id).await };
        Ok(Response::new(upload(got.await.map_err(|e: Error| status(&e))?)))
    }

    async fn get_upload_errors(&self, request: Request<pb::GetUploadErrorsRequest>) -> Reply<HttpBody> {
        let caller = Caller::of(&request)?;
        let got = async { self.usage.errors(caller.scope()?, &request.get_ref().id).await };
        let errors = got.await.map_err(|e: Error| status(&e))?;
        let data = csv(&errors);
        Ok(Response::new(HttpBody {
            content_type: "text/csv; charset=utf-8".into(),
            data,
            extensions: Vec::new(),
        }))
    }

    async fn confirm_upload(&self, request: Request<pb::ConfirmUploadRequest>) -> Reply<pb::UsageUpload> {
        let caller = Caller::of(&request)?;
        let done = self.usage.confirm(&caller, &request.get_ref().id).await;
        Ok(Response::new(upload(done.map_err(|e| status(&e))?)))
    }

    async fn cancel_upload(&self, request: Request<pb::CancelUploadRequest>) -> Reply<pb::UsageUpload> {
        let caller = Caller::of(&request)?;
        let done = self.usage.cancel(&caller, &request.get_ref().id).await;
        Ok(Response::new(upload(done.map_err(|e| status(&e))?)))
    }

    async fn revert_upload(&self, request: Request<pb::RevertUploadRequest>) -> Reply<pb::UsageUpload> {
        let caller = Caller::of(&request)?;
        let done = self.usage.revert(&caller, &request.get_ref().id).await;
        Ok(Response::new(upload(done.map_err(|e| status(&e))?)))
    }

    async fn list_datasets(
        &self,
        request: Request<pb::ListDatasetsRequest>,
    ) -> Reply<pb::ListDatasetsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListDatasetsRequest { limit, cursor } = request.into_inner();
        let listed = async { self.usage.datasets(caller.scope()?, &PageRequest::new(limit, cursor)).await };
        let page = listed.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(pb::ListDatasetsResponse {
            items: page.items.into_iter().map(dataset).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_dataset(&self, request: Request<pb::CreateDatasetRequest>) -> Reply<pb::Dataset> {
        let caller = Caller::of(&request)?;
        let (grain, join_key) = (request.get_ref().grain(), request.get_ref().join_key());
        let pb::CreateDatasetRequest { name, description, columns, .. } = request.into_inner();
        let columns = columns.into_iter().map(Into::into).collect();
        let described =
            Dataset { name, description, grain: grain.into(), join_key: join_key.into(), columns };
        let made = self.usage.create_dataset(&caller, described).await;
        Ok(Response::new(dataset(made.map_err(|e| status(&e))?)))
    }

    async fn update_dataset(&self, request: Request<pb::UpdateDatasetRequest>) -> Reply<pb::Dataset> {
        let caller = Caller::of(&request)?;
        let pb::UpdateDatasetRequest { id, version, description, columns, update_mask } =
            request.into_inner();
        let named = update_mask.iter().flat_map(|m| &m.paths).any(|p| p == "columns");
        let columns = (named || !columns.is_empty()).then(|| columns.into_iter().map(Into::into).collect());
        let updated = self.usage.update_dataset(&caller, &id, version, description, columns).await;
        Ok(Response::new(dataset(updated.map_err(|e| status(&e))?)))
    }

    async fn list_customer_usage(
        &self,
        request: Request<pb::ListCustomerUsageRequest>,
    ) -> Reply<pb::ListCustomerUsageResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCustomerUsageRequest { id, limit, cursor } = request.into_inner();
        let listed = async { self.usage.of_customer(caller.scope()?, &id).await };
        let rows = listed.await.map_err(|e: Error| status(&e))?;
        // A customer has few rows; the cursor is the number of those that were shown.
        let begin = if cursor.is_empty() { Ok(0) } else { cursor.parse::<usize>() };
        let begin = begin.map_err(|_| status(&Error::Store(store::Error::Cursor)))?;
        let limit = PageRequest::new(limit, "").limit() as usize;
        let more = rows.len() > begin.saturating_add(limit);
        let items = rows.into_iter().skip(begin).take(limit).map(row).collect();
        let next_cursor = if more { (begin + limit).to_string() } else { String::new() };
        Ok(Response::new(pb::ListCustomerUsageResponse { items, next_cursor }))
    }
}

/// The wrong rows as a file. Texts are ours but for the name of a column.
fn csv(errors: &[RowError]) -> Bytes {
    let mut text = String::from("row,column,code,message\n");
    let quoted = |t: &str| format!("\"{}\"", t.replace('"', "\"\""));
    for RowError { row, column, code, message } in errors {
        text.push_str(&format!("{row},{},{code},{}\n", quoted(column), quoted(message)));
    }
    text.into()
}

impl From<pb::UploadHead> for Head {
    fn from(head: pb::UploadHead) -> Self {
        let pb::UploadHead { dataset, file_name, content_type, auto_confirm, mapping } = head;
        Self { dataset, file_name, content_type, auto_confirm, mapping: mapping.into_iter().collect() }
    }
}

fn row((dataset, kept): (String, Kept)) -> pb::UsageRow {
    let Kept { key: _, period, values, upload, updated_at } = kept;
    let fields = values.iter().map(|(name, value)| (name.clone(), wire(value))).collect();
    pb::UsageRow {
        dataset,
        period,
        values: Some(prost_types::Struct { fields }),
        upload_id: upload,
        updated_at: Some(to_proto(updated_at)),
    }
}

fn upload(stored: Stored<Upload>) -> pb::UsageUpload {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let Upload { dataset_id, dataset, file_name, hash, same_as: _, bytes, state, reason, .. } = body;
    let Counts { rows, rejected, matched, imported } = body.counts;
    pb::UsageUpload {
        id,
        dataset_id: dataset_id.unwrap_or_default(),
        dataset,
        file_name,
        hash,
        bytes,
        state: pb::UploadState::from(state).into(),
        rows,
        rejected,
        matched,
        imported,
        errors: body.errors.into_iter().map(Into::into).collect(),
        reason,
        uploaded_by: body.uploaded_by,
        auto_confirm: body.auto_confirm,
        created_at: Some(to_proto(created_at)),
        updated_at: Some(to_proto(updated_at)),
        finished_at: body.finished_at.map(to_proto),
        version,
    }
}

impl From<RowError> for pb::RowError {
    fn from(error: RowError) -> Self {
        let RowError { row, column, code, message } = error;
        Self { row, column, code, message }
    }
}

fn dataset(stored: Stored<Dataset>) -> pb::Dataset {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let Dataset { name, description, grain, join_key, columns } = body;
    pb::Dataset {
        id,
        name,
        description,
        grain: pb::UsageGrain::from(grain).into(),
        join_key: pb::JoinKey::from(join_key).into(),
        columns: columns.into_iter().map(Into::into).collect(),
        created_at: Some(to_proto(created_at)),
        updated_at: Some(to_proto(updated_at)),
        version,
    }
}

impl From<pb::DatasetColumn> for Column {
    fn from(column: pb::DatasetColumn) -> Self {
        let kind = match column.r#type() {
            pb::ColumnType::Unspecified | pb::ColumnType::Text => ColumnType::Text,
            pb::ColumnType::Integer => ColumnType::Integer,
            pb::ColumnType::Number => ColumnType::Number,
            pb::ColumnType::Boolean => ColumnType::Boolean,
            pb::ColumnType::Date => ColumnType::Date,
            pb::ColumnType::Timestamp => ColumnType::Timestamp,
        };
        let pb::DatasetColumn { name, r#type: _, meaning } = column;
        Self { name, kind, meaning }
    }
}

impl From<Column> for pb::DatasetColumn {
    fn from(column: Column) -> Self {
        let Column { name, kind, meaning } = column;
        let kind = match kind {
            ColumnType::Text => pb::ColumnType::Text,
            ColumnType::Integer => pb::ColumnType::Integer,
            ColumnType::Number => pb::ColumnType::Number,
            ColumnType::Boolean => pb::ColumnType::Boolean,
            ColumnType::Date => pb::ColumnType::Date,
            ColumnType::Timestamp => pb::ColumnType::Timestamp,
        };
        Self { name, r#type: kind.into(), meaning }
    }
}

impl From<pb::UsageGrain> for Grain {
    fn from(grain: pb::UsageGrain) -> Self {
        match grain {
            pb::UsageGrain::Unspecified | pb::UsageGrain::Customer => Self::Customer,
            pb::UsageGrain::CustomerPeriod => Self::CustomerPeriod,
        }
    }
}

impl From<Grain> for pb::UsageGrain {
    fn from(grain: Grain) -> Self {
        match grain {
            Grain::Customer => Self::Customer,
            Grain::CustomerPeriod => Self::CustomerPeriod,
        }
    }
}

impl From<pb::JoinKey> for JoinKey {
    fn from(key: pb::JoinKey) -> Self {
        match key {
            pb::JoinKey::Unspecified | pb::JoinKey::ExternalId => Self::ExternalId,
            pb::JoinKey::Email => Self::Email,
            pb::JoinKey::CustomerId => Self::CustomerId,
        }
    }
}

impl From<JoinKey> for pb::JoinKey {
    fn from(key: JoinKey) -> Self {
        match key {
            JoinKey::ExternalId => Self::ExternalId,
            JoinKey::Email => Self::Email,
            JoinKey::CustomerId => Self::CustomerId,
        }
    }
}

fn state(state: pb::UploadState) -> Option<State> {
    Some(match state {
        pb::UploadState::Unspecified => return None,
        pb::UploadState::Created => State::Created,
        pb::UploadState::Uploading => State::Uploading,
        pb::UploadState::Uploaded => State::Uploaded,
        pb::UploadState::Validating => State::Validating,
        pb::UploadState::Rejected => State::Rejected,
        pb::UploadState::AwaitingConfirmation => State::AwaitingConfirmation,
        pb::UploadState::Importing => State::Importing,
        pb::UploadState::Completed => State::Completed,
        pb::UploadState::CompletedWithErrors => State::CompletedWithErrors,
        pb::UploadState::Failed => State::Failed,
        pb::UploadState::Canceled => State::Canceled,
        pb::UploadState::Reverted => State::Reverted,
    })
}

impl From<State> for pb::UploadState {
    fn from(state: State) -> Self {
        match state {
            State::Created => Self::Created,
            State::Uploading => Self::Uploading,
            State::Uploaded => Self::Uploaded,
            State::Validating => Self::Validating,
            State::Rejected => Self::Rejected,
            State::AwaitingConfirmation => Self::AwaitingConfirmation,
            State::Importing => Self::Importing,
            State::Completed => Self::Completed,
            State::CompletedWithErrors => Self::CompletedWithErrors,
            State::Failed => Self::Failed,
            State::Canceled => Self::Canceled,
            State::Reverted => Self::Reverted,
        }
    }
}
