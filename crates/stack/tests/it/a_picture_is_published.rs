//! A picture from a form to a published page, and out of use again.

use reqwest::header;
use serde_json::{Value, json};
use stack::load::api::{is_refused, text};

use crate::company::Company;
use crate::world::World;

const PICTURE: &[u8] = include_bytes!("team.png");

/// What is answered, for whoever writes docs/media.md anew (`--no-capture`).
fn show(what: &str, answer: &Value) {
    println!("=== {what}\n{}", serde_json::to_string_pretty(answer).unwrap());
}

async fn upload(company: &Company) -> Value {
    let alt =
        json!({ "default_locale": "en", "texts": { "en": "Our team", "de": "Unser Team" } }).to_string();
    let fields = [("alt", alt.as_str())];
    company.admin.upload_as("/v1/media", &fields, "team.png", "image/png", PICTURE.to_vec()).await.unwrap()
}

#[tokio::test]
async fn a_picture_is_seen_by_everybody_from_its_publishing_to_its_end() {
    let world = World::start().await;
    let company = Company::demo(&world).await;
    let media = upload(&company).await;
    show("upload", &media);
    assert_eq!((&media["state"], &media["content_type"]), (&json!("ready"), &json!("image/png")));
    assert_eq!(
        (&media["width"], &media["height"], &media["bytes"]),
        (&json!(360), &json!(48), &json!(PICTURE.len()))
    );
    assert_eq!(upload(&company).await["id"], media["id"], "the same bytes are the same picture");
    let (id, url) = (text(&media, "/id").unwrap(), text(&media, "/url").unwrap());
    let (address, http) = (format!("{}{url}", world.gateway), reqwest::Client::new());
    let status = async || http.get(&address).send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 404, "nobody has published it");

    let elements = json!([{ "key": "team", "image": { "media_id": id } }]);
    let content = json!({ "kind": "value", "elements": elements, "locales": ["en", "de"] });
    let card = company.admin.post("/v1/cards", json!({ "name": "Team", "content": content })).await.unwrap();
    let card_id = text(&card, "/id").unwrap();
    assert_eq!(status().await, 404, "a draft shows it to nobody");
    let preview = company.admin.post(&format!("/v1/cards/{card_id}/render"), json!({})).await.unwrap();
    let looked = text(&preview, "/screen/places/0/cards/0/pieces/0/url").unwrap();
    let looked = http.get(format!("{}{looked}", world.gateway)).send().await.unwrap();
    assert_eq!(
        (looked.status().as_u16(), &looked.headers()[header::CACHE_CONTROL]),
        (200, &"no-store".parse().unwrap())
    );
    let forged = http.get(format!("{address}?look=forged")).send().await.unwrap();
    assert_eq!(forged.status().as_u16(), 401);
    let publish = json!({ "version": card["version"] });
    let card = company.admin.post(&format!("/v1/cards/{card_id}/publish"), publish).await.unwrap();
    show("published element", &card["content"]["elements"][0]);
    assert_eq!(card["content"]["elements"][0]["image"]["url"], json!(url));
    assert_eq!(card["content"]["elements"][0]["image"]["alt"]["texts"]["de"], "Unser Team");
    assert_eq!(card["warnings"], json!([]));
    company
        .until(&company.admin, &format!("/v1/media/{id}"), "its being public", |m| {
            m["published_at"] != Value::Null
        })
        .await;
    testkit::eventually("everybody seeing it", async || (status().await == 200).then_some(())).await;

    let whole = http.get(&address).send().await.unwrap();
    println!("=== served\n{:#?}", whole.headers());
    assert_eq!(whole.headers()[header::CONTENT_TYPE], "image/png");
    assert_eq!(whole.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    assert_eq!(whole.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let tag = whole.headers()[header::ETAG].clone();
    assert_eq!(whole.bytes().await.unwrap(), PICTURE);
    let part = http.get(&address).header(header::RANGE, "bytes=8-15").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()[header::CONTENT_RANGE], format!("bytes 8-15/{}", PICTURE.len()));
    assert_eq!(part.bytes().await.unwrap(), PICTURE[8..16]);
    let beyond = http.get(&address).header(header::RANGE, "bytes=99999999-").send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    let known = http.get(&address).header(header::IF_NONE_MATCH, tag).send().await.unwrap();
    assert_eq!((known.status().as_u16(), known.bytes().await.unwrap().len()), (304, 0));
    let head = http.head(&address).send().await.unwrap();
    assert_eq!(head.headers()[header::CONTENT_LENGTH], PICTURE.len().to_string());
    let smaller = text(&media, "/variants/0/url").unwrap();
    let smaller = http.get(format!("{}{smaller}", world.gateway)).send().await.unwrap();
    assert_eq!(smaller.status(), 200);
    assert!(smaller.bytes().await.unwrap().len() < PICTURE.len());

    let rendered = company.admin.post(&format!("/v1/cards/{card_id}/render"), json!({})).await.unwrap();
    let html = text(&rendered, "/html").unwrap().replace("&#x2f;", "/");
    let img = html.split("<img").nth(1).unwrap().split('>').next().unwrap();
    println!("=== page\n<img{img}>");
    assert!(img.contains(&format!("src=\"{url}?look=")) && img.contains("alt=\"Our team\""), "{img}");
    assert!(img.contains("width=\"360\" height=\"48\"") && img.contains(" 360w"), "{img}");

    let path = format!("/v1/media/{id}");
    let seen = company.admin.get(&path).await.unwrap();
    show("uses", &seen["uses"]);
    assert_eq!(seen["uses"], json!([{ "kind": "card", "id": card_id, "name": "Team", "published": true }]));
    let refused = company.admin.call("DELETE", &path, None).await.unwrap_err();
    assert!(is_refused(&refused, "media_in_use"), "{refused}");
    company.admin.post(&format!("/v1/cards/{card_id}/archive"), json!({})).await.unwrap();
    let gone = company.admin.call("DELETE", &path, None).await.unwrap();
    assert_eq!(gone["state"], "archived");
    testkit::eventually("nobody seeing it", async || (status().await == 404).then_some(())).await;

    let fields = [("name", "evil")];
    let svg =
        company.admin.upload_as("/v1/media", &fields, "a.svg", "image/svg+xml", b"<svg/>".to_vec()).await;
    assert!(is_refused(&svg.unwrap_err(), "svg_not_accepted"));
    world.stack.stop().await.unwrap();
}
