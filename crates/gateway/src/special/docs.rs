//! The API description and a page to read it. Here because they are about the operations, not among them. The page's
//! files are inside the binary (`crates/gateway/docs/`, swagger-ui, Apache-2.0) and work offline.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use http::header;

use super::only;
use crate::Edge;
use crate::edge::problem::Problem;
use crate::pipeline::around;

/// Name, content type, bytes.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("index.html", "text/html; charset=utf-8", include_bytes!("../../docs/index.html")),
    ("start.js", "text/javascript", include_bytes!("../../docs/start.js")),
    ("swagger-ui.css", "text/css", include_bytes!("../../docs/swagger-ui.css")),
    ("swagger-ui-bundle.js", "text/javascript", include_bytes!("../../docs/swagger-ui-bundle.js")),
];
/// Swagger UI sets styles of elements; scripts come from here only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

pub fn routes(edge: &Arc<Edge>) -> Router {
    let document = Bytes::from(
        serde_json::to_vec(&crate::edge::openapi::document(&edge.operations)).unwrap_or_default(),
    );
    let openapi = move |request: Request| {
        let document = document.clone();
        around("/v1/openapi.json".to_owned(), request, move |_, _| async move {
            Ok((
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=60")],
                document,
            )
                .into_response())
        })
    };
    let file = |request: Request| {
        around("/docs/{file}".to_owned(), request, |request, _| async move {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let (_, kind, bytes) =
                FILES.into_iter().find(|(n, ..)| *n == name).ok_or_else(Problem::not_found)?;
            Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)], bytes)
                .into_response())
        })
    };
    Router::new()
        .route("/v1/openapi.json", only("/v1/openapi.json", "GET, HEAD", get(openapi)))
        .route("/docs", get(|| async { Redirect::temporary("/docs/index.html") }))
        .route("/docs/{file}", only("/docs/{file}", "GET, HEAD", get(file)))
}
