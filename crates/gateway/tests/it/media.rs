//! Pictures on their way in, and out: parts of them, and what a browser keeps.

use http::header;
use prost::Message as _;
use proto::content::{MediaInfo, OpenMediaRequest, OpenMediaResponse, open_media_response::Part as Sent};
use reqwest::multipart::{Form, Part};
use serde_json::json;

use crate::world::{SECRET, World, problem};

const OPEN: &str = "retention.content.v1.MediaService.OpenMedia";
const UPLOAD: &str = "retention.content.v1.MediaService.UploadMedia";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
/// The marks of a file that was sent whole, and of one that was rejected.
const END: [u8; 2] = [0x20, 1];

fn hash() -> String {
    "ab".repeat(32)
}

/// What content answers: what it is, and then these bytes.
fn opened(world: &World, info: MediaInfo, bytes: &[u8]) {
    let message = |part| OpenMediaResponse { part: Some(part) };
    let mut answer = vec![message(Sent::Info(info)).encode_to_vec().into()];
    for chunk in bytes.chunks(4) {
        answer.push(message(Sent::Chunk(chunk.to_vec().into())).encode_to_vec().into());
    }
    world.behind.streams.lock().unwrap().insert(OPEN.into(), answer);
}

fn info(offset: u64, length: u64) -> MediaInfo {
    MediaInfo {
        content_type: "image/png".into(),
        size: 10,
        offset,
        length,
        unsatisfiable: false,
        name: "team.png".into(),
    }
}

fn asked(world: &World) -> OpenMediaRequest {
    let asked = world.asked();
    let (rpc, _, bytes) = &asked[0];
    assert_eq!(rpc, OPEN);
    OpenMediaRequest::decode(bytes.clone()).unwrap()
}

fn text(answer: &reqwest::Response, name: header::HeaderName) -> &str {
    answer.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn a_picture_is_kept_by_browsers_forever_and_believed_to_be_no_other() {
    let world = World::new().await;
    opened(&world, info(0, 10), b"0123456789");
    let get = |method: &str| world.request(method, &format!("/m/{}", hash()));
    let whole = get("GET").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    assert_eq!(text(&whole, header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    assert_eq!(text(&whole, header::ETAG), format!("\"{}\"", hash()));
    assert_eq!(text(&whole, header::CONTENT_TYPE), "image/png");
    assert_eq!(text(&whole, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(text(&whole, header::ACCEPT_RANGES), "bytes");
    assert!(text(&whole, header::CONTENT_DISPOSITION).starts_with("inline; filename=\"team.png\""));
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");
    assert_eq!(asked(&world), OpenMediaRequest { hash: hash(), ..Default::default() });

    let head = get("HEAD").send().await.unwrap();
    assert_eq!((head.status().as_u16(), text(&head, header::CONTENT_LENGTH)), (200, "10"));
    assert!(head.bytes().await.unwrap().is_empty());
    assert!(asked(&world).head);
    let known = get("GET").header(header::IF_NONE_MATCH, format!("\"{}\"", hash())).send().await.unwrap();
    assert_eq!(known.status(), 304);
    assert_eq!(text(&known, header::CACHE_CONTROL), "public, max-age=31536000, immutable");
    let other = get("GET").header(header::IF_NONE_MATCH, "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), 200);
}

#[tokio::test]
async fn a_part_is_answered_as_a_part_and_one_that_is_not_there_as_such() {
    let world = World::new().await;
    let path = format!("/m/{}", hash());
    opened(&world, info(2, 4), b"2345");
    let part = world.request("GET", &path).header(header::RANGE, "bytes=2-5").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(text(&part, header::CONTENT_RANGE), "bytes 2-5/10");
    assert_eq!(text(&part, header::CONTENT_LENGTH), "4");
    assert_eq!(part.bytes().await.unwrap(), "2345");
    let message = asked(&world);
    assert_eq!((message.first, message.last, message.suffix), (Some(2), Some(5), None));

    let none = MediaInfo { unsatisfiable: true, ..info(0, 0) };
    opened(&world, none, b"");
    let none = world.request("GET", &path).header(header::RANGE, "bytes=10-").send().await.unwrap();
    assert_eq!(none.status(), 416);
    assert_eq!(text(&none, header::CONTENT_RANGE), "bytes */10");
    assert!(none.headers().get(header::CACHE_CONTROL).is_none(), "a refusal is not kept");
}

#[tokio::test]
async fn what_is_not_public_is_not_there() {
    let world = World::new().await;
    world.behind.faults.lock().unwrap().insert(OPEN.into(), (kit::Code::NotFound, "not_found"));
    let get = async |path: &str| world.request("GET", path).send().await.unwrap();
    let (status, code, _) = problem(get(&format!("/m/{}", hash())).await).await;
    assert_eq!((status, code.as_str()), (404, "not_found"));
    world.asked();
    for odd in ["none", &"AB".repeat(32), &"ab".repeat(31), "..%2f..%2fetc"] {
        assert_eq!(problem(get(&format!("/m/{odd}")).await).await.0, 404, "{odd}");
    }
    assert!(world.asked().is_empty(), "what is no hash is asked nobody");
    let posted = world.request("POST", &format!("/m/{}", hash())).send().await.unwrap();
    assert_eq!(problem(posted).await.0, 405);
}

#[tokio::test]
async fn a_picture_goes_through_with_what_is_said_of_it() {
    let world = World::new().await;
    let alt = json!({ "default_locale": "en", "texts": { "en": "Our team" } });
    let file = |bytes: &[u8], kind: &str| {
        Part::bytes(bytes.to_vec()).file_name("../team.png").mime_str(kind).unwrap()
    };
    let post = async |form: Form| world.admin("POST", "/v1/media").multipart(form).send().await.unwrap();
    let form = Form::new().text("alt", alt.to_string()).part("file", file(PNG, "image/png"));
    assert_eq!(post(form).await.status(), 200);
    let asked = world.asked();
    let (rpc, _, bytes) = &asked[0];
    let sent = String::from_utf8_lossy(bytes);
    assert_eq!(rpc, UPLOAD);
    assert!(sent.contains("team.png") && !sent.contains("..") && sent.contains("Our team"), "{sent}");
    // Every byte, then that it is scanned, then that it is whole.
    assert!(bytes.ends_with(&[PNG, &[0x18, 1], &END].concat()), "{sent}");

    for (bytes, kind, code) in [
        (PNG, "image/jpeg", "content_type_mismatch"),
        (b"<svg/>", "image/svg+xml", "svg_not_accepted"),
        (b"<svg/>", "image/png", "content_type_mismatch"),
        (b"<!doctype html>", "application/octet-stream", "content_type_mismatch"),
        (b"a,b", "text/csv", "media_type_not_accepted"),
    ] {
        let refused = problem(post(Form::new().part("file", file(bytes, kind))).await).await;
        assert_eq!((refused.0, refused.1.as_str()), (415, code), "{kind}");
    }
    let odd = Form::new().text("alt", "Our team").part("file", file(PNG, "image/png"));
    assert_eq!(problem(post(odd).await).await.0, 422);
    let large = Form::new().part("file", file(&[PNG, &vec![0; 10 * 1024 * 1024]].concat(), "image/png"));
    let large = problem(post(large).await).await;
    assert_eq!((large.0, large.1.as_str()), (413, "too_large"));
    let machine = world.request("POST", "/v1/media").bearer_auth(SECRET);
    let machine = machine.multipart(Form::new().part("file", file(PNG, "image/png")));
    assert_eq!(problem(machine.send().await.unwrap()).await.0, 403, "people only");
    assert!(world.asked().iter().all(|(.., bytes)| !bytes.ends_with(&END)), "nothing whole went through");
}

#[tokio::test]
async fn malware_in_a_picture_is_written_down_by_the_service() {
    let scanner = crate::scan::clamd().await;
    let world = World::with(&[format!("--clamd-addr={scanner}")]).await;
    world.behind.faults.lock().unwrap().insert(UPLOAD.into(), (kit::Code::Invalid, "malware_found"));
    let bytes = [PNG, crate::scan::eicar().as_bytes()].concat();
    let part = Part::bytes(bytes).file_name("a.png").mime_str("image/png").unwrap();
    let form = Form::new().part("file", part);
    let refused = world.admin("POST", "/v1/media").multipart(form).send().await.unwrap();
    let (status, code, _) = problem(refused).await;
    assert_eq!((status, code.as_str()), (422, "malware_found"));
    let asked = world.asked();
    let sent = String::from_utf8_lossy(&asked[0].2);
    assert!(sent.ends_with("malware_found"), "the mark of a rejected one: {sent}");
}
