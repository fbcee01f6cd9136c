//! The widget's files, as companies' pages load them. Here because they are files, inside the binary: the file of a version
//! never changes once it is released, so that a page can name its hash (`integrity`) and a browser keeps it for a year.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA384, digest};
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::only;
use crate::edge::problem::Problem;
use crate::pipeline::around;

/// Every version that a page may have named, the newest last.
const RELEASES: [(&str, &[u8]); 1] =
    [("1.0.0", include_bytes!("../../../../widget/dist/retention-1.0.0.js"))];
const ROUTE: &str = "/widget/v1/{file}";
const NEWEST: &str = "retention.js";

/// One version, as the manifest names it.
#[derive(Clone, Debug, Serialize)]
struct Release {
    version: &'static str,
    path: String,
    /// For the `integrity` of the `script` that loads it.
    integrity: String,
    bytes: usize,
}

#[derive(Serialize)]
struct Manifest<'a> {
    #[serde(flatten)]
    newest: Option<&'a Release>,
    versions: &'a [Release],
}

/// A file as it is answered.
struct Served {
    name: String,
    kind: &'static str,
    kept: &'static str,
    tag: HeaderValue,
    bytes: Bytes,
}

pub fn routes() -> Router {
    let files: Arc<[Served]> = served().into();
    let file = move |request: Request| {
        let files = files.clone();
        around(ROUTE.to_owned(), request, move |request, _| async move {
            let name = request.uri().path().rsplit('/').next().unwrap_or_default();
            let file = files.iter().find(|f| f.name == name).ok_or_else(Problem::not_found)?;
            Ok(answer(file, request.headers()))
        })
    };
    Router::new().route(ROUTE, only(ROUTE, "GET, HEAD", get(file)))
}

fn releases() -> Vec<Release> {
    let release = |(version, bytes): &(&'static str, &[u8])| Release {
        version,
        path: format!("/widget/v1/retention-{version}.js"),
        integrity: format!("sha384-{}", STANDARD.encode(digest(&SHA384, bytes))),
        bytes: bytes.len(),
    };
    RELEASES.iter().map(release).collect()
}

fn served() -> Vec<Served> {
    let releases = releases();
    let script = |name: String, kept, release: &Release, bytes: &'static [u8]| Served {
        name,
        kind: "text/javascript; charset=utf-8",
        kept,
        tag: tag(&release.integrity),
        bytes: Bytes::from_static(bytes),
    };
    let each = releases.iter().zip(RELEASES).map(|(release, (version, bytes))| {
        script(format!("retention-{version}.js"), "public, max-age=31536000, immutable", release, bytes)
    });
    let mut files: Vec<Served> = each.collect();
    if let (Some(release), Some((_, bytes))) = (releases.last(), RELEASES.last()) {
        files.push(script(NEWEST.to_owned(), "public, max-age=300", release, bytes));
    }
    let manifest = Manifest { newest: releases.last(), versions: &releases };
    let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
    files.push(Served {
        name: "manifest.json".to_owned(),
        kind: "application/json",
        kept: "public, max-age=300",
        tag: tag(&STANDARD.encode(digest(&SHA384, &bytes))),
        bytes: bytes.into(),
    });
    files
}

/// Weak, as the same file goes out packed and unpacked.
fn tag(hash: &str) -> HeaderValue {
    HeaderValue::from_str(&format!("W/\"{hash}\"")).unwrap_or(HeaderValue::from_static("W/\"\""))
}

fn answer(file: &Served, asked: &HeaderMap) -> Response {
    let known = asked.get(header::IF_NONE_MATCH).is_some_and(|given| *given == file.tag);
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.bytes.clone().into_response() };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(file.kept));
    headers.insert(header::ETAG, file.tag.clone());
    // Anybody's page may load it: a browser compares a hash only where it may read the file, and there is nothing in it
    // that is anybody's.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use aws_lc_rs::digest::SHA256;
    use serde_json::Value;

    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../widget");

    fn noted() -> Value {
        let text = fs::read_to_string(Path::new(FOLDER).join("dist/versions.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Needs no npm: `tools/widget.mjs` notes a hash of what it built from.
    #[test]
    fn the_newest_file_was_built_from_these_sources() {
        let mut sources: Vec<PathBuf> =
            fs::read_dir(Path::new(FOLDER).join("src")).unwrap().map(|e| e.unwrap().path()).collect();
        sources.sort();
        let mut all = Vec::new();
        for path in sources {
            all.extend(path.file_name().unwrap().to_str().unwrap().bytes().chain([0]));
            all.extend(fs::read(&path).unwrap());
        }
        let built_from = hex::encode(digest(&SHA256, &all));
        assert_eq!(noted()["built_from"], built_from, "run `node tools/widget.mjs`");
    }

    #[test]
    fn a_released_file_is_what_it_was_and_a_small_one() {
        let noted = noted();
        let noted = noted["versions"].as_array().unwrap();
        let releases = releases();
        assert_eq!(noted.len(), releases.len(), "every version of widget/dist is served");
        for (noted, release) in noted.iter().zip(releases) {
            assert_eq!(noted["version"], release.version);
            assert_eq!(
                noted["integrity"], release.integrity,
                "{}: raise the version instead",
                release.version
            );
            assert!(noted["gzip_bytes"].as_u64().unwrap() < 15_000);
        }
    }
}
