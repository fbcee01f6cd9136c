//! The files of a dashboard's build, where a folder of them is configured. Here because they are files: assets whose
//! names carry a hash are kept by browsers for a year, the page is asked for anew, and a path of the app itself is the page.

use std::path::Path;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::edge::problem::Problem;

/// Scripts of our own only, and none in the page; frameworks set styles of elements.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: https:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";
/// What begins so is the API's, and never a page.
const API: [&str; 6] = ["/v1/", "/m/", "/.well-known/", "/docs", "/metrics", "/widget/"];

/// A folder with an `index.html`.
#[derive(Clone)]
pub struct Ui {
    files: ServeDir,
    page: ServeFile,
}

impl Ui {
    pub fn new(folder: &Path) -> anyhow::Result<Arc<Self>> {
        let page = folder.join("index.html");
        anyhow::ensure!(page.is_file(), "RETENTION_UI_DIR holds no index.html: {}", folder.display());
        let files = ServeDir::new(folder).precompressed_gzip().append_index_html_on_directories(false);
        Ok(Arc::new(Self { files, page: ServeFile::new(page).precompressed_gzip() }))
    }

    /// The file of a path, the page for a path of the app, or nothing.
    pub async fn answer(&self, request: Request) -> Result<Response, Problem> {
        let path = request.uri().path().to_owned();
        if API.iter().any(|prefix| path.starts_with(prefix) || path == prefix.trim_end_matches('/')) {
            return Err(Problem::not_found());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let problem = Problem::new(405, "method_not_allowed", "pages are read only");
            return Err(Problem { allow: Some("GET, HEAD".into()), ..problem });
        }
        let accepted =
            request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let wants_page = accepted.contains("text/html") || accepted.is_empty();
        let (parts, _) = request.into_parts();
        let again = |parts: &http::request::Parts| {
            let mut request = Request::new(axum::body::Body::empty());
            request.headers_mut().clone_from(&parts.headers);
            request.method_mut().clone_from(&parts.method);
            request.uri_mut().clone_from(&parts.uri);
            request
        };
        let file = self.files.clone().oneshot(again(&parts)).await.into_response();
        let (mut response, kept) = if file.status() == StatusCode::NOT_FOUND && wants_page {
            (self.page.clone().oneshot(again(&parts)).await.into_response(), "no-cache")
        } else if is_hashed(&path) {
            (file, "public, max-age=31536000, immutable")
        } else {
            (file, "no-cache")
        };
        if response.status() == StatusCode::NOT_FOUND {
            return Err(Problem::not_found());
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Ok(response)
    }
}

/// Whether a file's name says what is in it: `assets/index-BkX3f9aQ.js`.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some((stem, _)) = name.rsplit_once('.') else { return false };
    let Some((_, hash)) = stem.rsplit_once(['-', '.']) else { return false };
    hash.len() >= 8
        && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && hash.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_in_a_name_is_told_from_a_word() {
        for hashed in ["/assets/index-BkX3f9aQ.js", "/app.3f9a81bc.css"] {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for plain in
            ["/index.html", "/favicon.ico", "/assets/apple-touchicon.png", "/a-b.js", "/no-extension1"]
        {
            assert!(!is_hashed(plain), "{plain}");
        }
    }
}
