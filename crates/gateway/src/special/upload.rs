//! Files of usage and of customers, up to 200 MB, and pictures. Here because a file is streamed to the service piece by piece, with its
//! back-pressure, and because a body that breaks off must break the call off, too: half a file is no file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use prost::Message as _;
use proto::analytics::product_usage_service_client::ProductUsageServiceClient;
use proto::analytics::{UploadHead, UploadPart, upload_part};
use proto::billing::customer_import_service_client::CustomerImportServiceClient;
use proto::billing::{ImportHead, ImportPart, import_part};
use proto::content::UploadMediaRequest;
use proto::content::media_service_client::MediaServiceClient;
use proto::edge::RateClass;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::scan::{Scan, Sniff};
use crate::Edge;
use crate::edge::descriptors::Operation;
use crate::edge::problem::Problem;
use crate::pipeline::{access, around, dispatch};

/// The largest file of rows, and the largest picture.
const LARGEST: u64 = 200 * 1024 * 1024;
const LARGEST_MEDIA: u64 = 10 * 1024 * 1024;
/// The largest part beside the file: these are held in memory.
const LARGEST_TEXT: usize = 64 * 1024;
/// How long a file may take to arrive and be stored.
const DEADLINE: Duration = Duration::from_secs(600);

/// What a file is about, and so who takes it.
#[derive(Clone, Copy)]
pub enum Target {
    Usage,
    Customers,
    Media,
}

impl Target {
    pub const ALL: [Self; 3] = [Self::Usage, Self::Customers, Self::Media];

    /// The one at a path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.route() == path)
    }

    fn route(self) -> &'static str {
        match self {
            Self::Usage => "/v1/usage/uploads",
            Self::Customers => "/v1/customer-data/imports",
            Self::Media => "/v1/media",
        }
    }

    /// The type of the answer.
    pub fn reply(self) -> &'static str {
        match self {
            Self::Usage => "retention.analytics.v1.UsageUpload",
            Self::Customers => "retention.billing.v1.CustomerImport",
            Self::Media => "retention.content.v1.Media",
        }
    }

    /// Who may go on with a file, or stop it, may send one: same roles, scopes and permission.
    fn rule(self) -> &'static str {
        match self {
            Self::Usage => "retention.analytics.v1.ProductUsageService.ConfirmUpload",
            Self::Customers => "retention.billing.v1.CustomerImportService.CancelImport",
            Self::Media => "retention.content.v1.MediaService.UpdateMedia",
        }
    }

    fn largest(self) -> u64 {
        match self {
            Self::Usage | Self::Customers => LARGEST,
            Self::Media => LARGEST_MEDIA,
        }
    }

    fn sniff(self, content_type: &str) -> Result<Sniff, Problem> {
        match self {
            Self::Usage | Self::Customers => Ok(Sniff::new(content_type)),
            Self::Media => Sniff::media(content_type),
        }
    }

    fn too_large(self) -> Problem {
        let most = self.largest() / 1024 / 1024;
        Problem::new(413, "too_large", format!("a file has at most {most} MB"))
    }
}

/// The POST beside the operations that the descriptors have at the same path.
pub fn beside(edge: &Arc<Edge>, ops: Arc<[Arc<Operation>]>, target: Target) -> anyhow::Result<MethodRouter> {
    let rule = edge
        .operation(target.rule())
        .context("the rpc whose access rule uploads go by is not there")?
        .clone();
    let edge = edge.clone();
    let allow = ops.iter().map(|op| op.method.as_str()).chain(["POST"]).collect::<Vec<_>>().join(", ");
    let all = axum::routing::any(move |request: Request| {
        let (edge, rule, ops, allow) = (edge.clone(), rule.clone(), ops.clone(), allow.clone());
        async move {
            if request.method() == Method::POST {
                return around(target.route().to_owned(), request, move |request, id| async move {
                    upload(&edge, &rule, target, request, &id).await
                })
                .await;
            }
            let mut response = dispatch(edge, ops, request).await;
            // The descriptors do not know of the POST.
            if let Some(header) = response.headers_mut().get_mut(header::ALLOW)
                && let Ok(value) = HeaderValue::from_str(&allow)
            {
                *header = value;
            }
            response
        }
    });
    // The form has a limit of its own, far below that of a file, unless told otherwise.
    let most = usize::try_from(target.largest())?.saturating_add(4 * LARGEST_TEXT);
    Ok(all.layer(DefaultBodyLimit::max(most)))
}

async fn upload(
    edge: &Edge,
    rule: &Operation,
    target: Target,
    request: Request,
    id: &str,
) -> Result<Response, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        return Err(Problem::new(415, "unsupported_media_type", "send the file as multipart/form-data"));
    }
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|l| l > target.largest() + 4 * LARGEST_TEXT as u64) {
        return Err(target.too_large());
    }
    let (parts, body) = request.into_parts();
    let who = edge.auth.who(edge, rule, &parts).await?;
    let caller = access::caller(rule, &who, &parts, id)?;
    edge.rates.admit(RateClass::Heavy, &caller, &parts)?;
    let form = Multipart::from_request(Request::from_parts(parts, Body::new(body)), &()).await;
    let form = form.map_err(|_| Problem::bad_request("invalid_form", "the form has no boundary"))?;

    let reply = match target {
        Target::Usage => {
            let (pieces, incoming) = mpsc::channel::<UploadPart>(8);
            let upstream = edge.upstreams.get("analytics")?;
            let mut client = ProductUsageServiceClient::new(upstream.channel());
            let request = upstream.request(&caller, DEADLINE, ReceiverStream::new(incoming))?;
            sent(client.upload_usage(request), forward(edge, target, form, pieces)).await?.encode_to_vec()
        }
        Target::Customers => {
            let (pieces, incoming) = mpsc::channel::<ImportPart>(8);
            let upstream = edge.upstreams.get("billing")?;
            let mut client = CustomerImportServiceClient::new(upstream.channel());
            let request = upstream.request(&caller, DEADLINE, ReceiverStream::new(incoming))?;
            sent(client.upload_import(request), forward(edge, target, form, pieces)).await?.encode_to_vec()
        }
        Target::Media => {
            let (pieces, incoming) = mpsc::channel::<UploadMediaRequest>(8);
            let upstream = edge.upstreams.get("content")?;
            let mut client = MediaServiceClient::new(upstream.channel());
            let request = upstream.request(&caller, DEADLINE, ReceiverStream::new(incoming))?;
            sent(client.upload_media(request), forward(edge, target, form, pieces)).await?.encode_to_vec()
        }
    };
    let json = edge.plans.json(target.reply(), &reply);
    let json = json.map_err(|_| Problem::new(500, "internal", "something failed on our side"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// While the form is read the call runs; a broken form drops the call, which ends without the mark of a whole file.
async fn sent<T>(
    call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    reading: impl Future<Output = Result<(), Problem>>,
) -> Result<T, Problem> {
    let (mut call, mut reading) = (std::pin::pin!(call), std::pin::pin!(reading));
    let reply = tokio::select! {
        read = &mut reading => {
            read?;
            call.await
        }
        // Refused before it was read to the end.
        early = &mut call => early,
    };
    Ok(reply?.into_inner())
}

fn broken(_: axum::extract::multipart::MultipartError) -> Problem {
    Problem::bad_request("incomplete_body", "the file did not arrive whole")
}

/// Reads a part beside the file.
async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut read = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(broken)? {
        if read.len() + chunk.len() > LARGEST_TEXT {
            return Err(Problem::new(413, "too_large", "a part beside the file has at most 64 KiB"));
        }
        read.extend_from_slice(&chunk);
    }
    String::from_utf8(read).map_err(|_| Problem::bad_request("invalid_form", "a part is not UTF-8"))
}

/// Reads the form: text parts make the head, then the file follows in pieces, and the mark of its end, once it is known
/// to be what it should be.
async fn forward<P: Piece>(
    edge: &Edge,
    target: Target,
    mut form: Multipart,
    pieces: mpsc::Sender<P>,
) -> Result<(), Problem> {
    let mut head = P::Head::default();
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        if name != "file" {
            P::set(&mut head, &name, text(field).await?)?;
            continue;
        }
        let content_type = field.content_type().unwrap_or_default().to_owned();
        let (mut sniff, mut scan) = (target.sniff(&content_type)?, Scan::begin(&edge.config).await?);
        let file_name = field.file_name().map(sanitised).unwrap_or_default();
        // Sent once the beginning was looked at: a file that is refused for it never begins.
        let mut first = Some(P::head(head, file_name, content_type));
        let mut sent = 0_u64;
        while let Some(chunk) = field.chunk().await.map_err(broken)? {
            sent += chunk.len() as u64;
            if sent > target.largest() {
                return Err(target.too_large());
            }
            if let Err(found) = scan.pass(&chunk).await {
                return rejected(&pieces, first, found).await;
            }
            if let Some(chunk) = sniff.pass(chunk)? {
                if let Some(head) = first.take() {
                    send(&pieces, head).await?;
                }
                send(&pieces, P::chunk(chunk)).await?;
            }
        }
        let rest = sniff.end()?;
        if let Some(head) = first.take() {
            send(&pieces, head).await?;
        }
        if let Some(rest) = rest {
            send(&pieces, P::chunk(rest)).await?;
        }
        if let Some(mark) = P::scanning() {
            send(&pieces, mark).await?;
        }
        if let Err(found) = scan.end().await {
            return rejected(&pieces, None, found).await;
        }
        return send(&pieces, P::end()).await;
    }
    Err(Problem::fields(vec![kit::FieldError::new("file", "required", "the form has no part `file`")]))
}

/// Tells the service of a file with malware, where it writes that down: then the answer is the service's. Where it does
/// not, the call breaks off.
async fn rejected<P: Piece>(
    pieces: &mpsc::Sender<P>,
    head: Option<P>,
    found: Problem,
) -> Result<(), Problem> {
    let Some(mark) = P::rejected(&found.code).filter(|_| found.status == 422) else { return Err(found) };
    if let Some(head) = head {
        send(pieces, head).await?;
    }
    send(pieces, mark).await
}

async fn send<P: Piece>(pieces: &mpsc::Sender<P>, part: P) -> Result<(), Problem> {
    // Nobody listens any more: the service has refused, and its answer says why.
    if pieces.send(part).await.is_err() {
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// One message of a file under way.
pub(super) trait Piece: Send + Sized + 'static {
    type Head: Default + Send;

    /// Takes a part beside the file into the head.
    fn set(head: &mut Self::Head, name: &str, text: String) -> Result<(), Problem>;
    fn head(head: Self::Head, file_name: String, content_type: String) -> Self;
    fn chunk(bytes: Bytes) -> Self;
    /// Every byte was sent; none where the service need not know.
    fn scanning() -> Option<Self> {
        None
    }
    /// The scanner found something; none where the service keeps no record of it.
    fn rejected(_why: &str) -> Option<Self> {
        None
    }
    fn end() -> Self;
}

pub(super) fn wrong(name: &str, code: &str, why: &str) -> Problem {
    Problem::fields(vec![kit::FieldError::new(name, code, why)])
}

/// A mapping of columns; said twice, the same column is what was said last.
fn mapping(text: &str) -> Result<HashMap<String, String>, Problem> {
    let why = "must be a JSON object of header to column";
    serde_json::from_str(text).map_err(|_| wrong("mapping", "wrong_type", why))
}

impl Piece for UploadPart {
    type Head = UploadHead;

    fn set(head: &mut UploadHead, name: &str, text: String) -> Result<(), Problem> {
        match name {
            "dataset" => head.dataset = text,
            "auto_confirm" => {
                let read = text.parse().map_err(|_| wrong(name, "wrong_type", "must be true or false"));
                head.auto_confirm = read?;
            }
            "mapping" => head.mapping = mapping(&text)?,
            _ => return Err(wrong(name, "unknown_field", "is not a part of this form")),
        }
        Ok(())
    }

    fn head(head: UploadHead, file_name: String, content_type: String) -> Self {
        let head = UploadHead { file_name, content_type, ..head };
        Self { part: Some(upload_part::Part::Head(head)) }
    }

    fn chunk(bytes: Bytes) -> Self {
        Self { part: Some(upload_part::Part::Chunk(bytes)) }
    }

    fn end() -> Self {
        Self { part: Some(upload_part::Part::End(true)) }
    }
}

impl Piece for ImportPart {
    type Head = ImportHead;

    fn set(head: &mut ImportHead, name: &str, text: String) -> Result<(), Problem> {
        match name {
            "mapping" => head.mapping = mapping(&text)?,
            _ => return Err(wrong(name, "unknown_field", "is not a part of this form")),
        }
        Ok(())
    }

    fn head(head: ImportHead, file_name: String, content_type: String) -> Self {
        let head = ImportHead { file_name, content_type, ..head };
        Self { part: Some(import_part::Part::Head(head)) }
    }

    fn chunk(bytes: Bytes) -> Self {
        Self { part: Some(import_part::Part::Chunk(bytes)) }
    }

    fn end() -> Self {
        Self { part: Some(import_part::Part::End(true)) }
    }
}

/// A file's name without folders and without what a shell or page would take amiss.
fn sanitised(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String =
        last.chars().filter(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ')).collect();
    clean.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_name_keeps_no_path() {
        assert_eq!(sanitised("../../etc/pass\"wd.csv"), "passwd.csv");
        assert_eq!(sanitised("C:\\data\\usage 1.csv"), "usage 1.csv");
    }
}
