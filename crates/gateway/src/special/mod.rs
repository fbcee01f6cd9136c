//! What an annotation cannot say. Each file says why it is here.

pub mod audit;
pub mod bootstrap;
pub mod customer_data;
pub mod docs;
pub mod hosted;
pub mod inbound;
pub mod live;
pub mod media;
pub mod privacy;
pub mod scan;
pub mod sso;
pub mod ui;
pub mod upload;
pub mod widget;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::MethodRouter;
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderValue, header};
use proto::google::api::HttpBody;

use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::around;

/// The special routes.
pub fn routes(edge: &Arc<Edge>) -> Router {
    Router::new()
        .merge(audit::routes(edge))
        .merge(bootstrap::routes(edge))
        .merge(customer_data::routes(edge))
        .merge(docs::routes(edge))
        .merge(hosted::routes(edge))
        .merge(inbound::routes(edge))
        .merge(live::routes(edge))
        .merge(media::routes(edge))
        .merge(privacy::routes(edge))
        .merge(sso::routes(edge))
        .merge(widget::routes())
}

/// A file that a service sends in pieces, passed on as they come.
pub async fn streamed(answer: tonic::Response<tonic::Streaming<HttpBody>>) -> Result<Response, Problem> {
    let disposition = answer.metadata().get(header::CONTENT_DISPOSITION.as_str()).cloned();
    let mut pieces = answer.into_inner();
    // The first piece comes before the answer begins: what goes wrong until then is a problem like any other.
    let first = pieces.message().await?.unwrap_or_default();
    let kind = first.content_type.clone();
    let rest = pieces.map_ok(|piece| piece.data);
    let all = futures_util::stream::once(async move { Ok(first.data) }).chain(rest);
    let mut response = Response::new(Body::from_stream(all));
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Some(value) = disposition.and_then(|d| HeaderValue::from_bytes(d.as_bytes()).ok()) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A method the path does not have answers as every other path does.
pub fn only(route: &'static str, allow: &'static str, methods: MethodRouter) -> MethodRouter {
    methods.fallback(move |request: Request| {
        around(route.to_owned(), request, move |_, _| async move {
            Err(Problem {
                allow: Some(allow.into()),
                ..Problem::new(405, "method_not_allowed", "this path has no such method")
            })
        })
    })
}
