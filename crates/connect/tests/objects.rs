//! The object store's promises, on a folder and in memory, and the links against the recorded vectors.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop and say where"
)]

use base64::Engine as _;
use bytes::Bytes;
use connect::objects::{Azure, ObjectError, ObjectKey, Objects};
use connect::sas::Fields;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).unwrap()
}

fn chunks(sizes: &[usize]) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Unpin + Send {
    stream::iter(sizes.iter().map(|n| Ok(Bytes::from(vec![b'x'; *n]))).collect::<Vec<_>>())
}

async fn keeps_its_promises(objects: Objects) {
    let one = key("com_1/media/one.png");
    assert!(matches!(objects.head(&one).await, Err(ObjectError::NotFound)));
    objects.put(&one, Bytes::from_static(b"hello world")).await.unwrap();
    assert_eq!(objects.bytes(&one, 100).await.unwrap(), "hello world");
    assert!(matches!(objects.bytes(&one, 5).await, Err(ObjectError::TooLarge)));
    assert_eq!(objects.range(&one, 6..11).await.unwrap(), "world");
    let some = objects.open(&one, 4..8).await.unwrap();
    assert_eq!(some.info.size, 11, "of the whole");
    assert_eq!(some.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"o wo");
    let read = objects.get(&one).await.unwrap();
    assert_eq!(read.info.size, 11);
    assert_eq!(read.body.try_collect::<Vec<_>>().await.unwrap().concat(), b"hello world");

    let two = key("com_1/uploads/two.csv");
    assert_eq!(
        objects.put_stream(&two, chunks(&[6_000_000, 6_000_000, 1]), 20_000_000).await.unwrap(),
        12_000_001
    );
    assert_eq!(objects.head(&two).await.unwrap().size, 12_000_001);
    let three = key("com_1/uploads/three.csv");
    let refused = objects.put_stream(&three, chunks(&[600, 600]), 1_000).await;
    assert!(matches!(refused, Err(ObjectError::TooLarge)));
    assert!(matches!(objects.head(&three).await, Err(ObjectError::NotFound)), "nothing is left behind");

    let mut names: Vec<_> = objects.list(&key("com_1")).map(|o| o.unwrap().key).collect().await;
    names.sort();
    assert_eq!(names, ["com_1/media/one.png", "com_1/uploads/two.csv"]);
    objects.delete(&one).await.unwrap();
    objects.delete(&one).await.unwrap();
    assert!(matches!(objects.get(&one).await, Err(ObjectError::NotFound)));
}

#[tokio::test]
async fn a_folder_keeps_its_promises() {
    let root = std::env::temp_dir().join(kit::id::new("objects"));
    keeps_its_promises(Objects::folder(&root).unwrap()).await;
    std::fs::remove_dir_all(root).unwrap();
}

#[tokio::test]
async fn memory_keeps_its_promises() {
    keeps_its_promises(Objects::memory()).await;
}

/// The published key of the emulator, a public constant.
const EMULATOR_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn azurite() -> Option<String> {
    let url = std::env::var("AZURITE_URL").ok();
    if url.is_none() {
        println!("AZURITE_URL is not set: Azurite was not asked");
    }
    url
}

/// A container of this test's own on the emulator, made with a request we sign ourselves.
async fn container(url: &str) -> Objects {
    let name = kit::id::new("c").replace('_', "-");
    let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    // "Authorize with Shared Key"; in the emulator the account stands twice.
    let headers = format!("x-ms-date:{date}\nx-ms-version:2023-11-03\n");
    let resource = format!("/devstoreaccount1/devstoreaccount1/{name}\nrestype:container");
    let signed = format!("PUT\n\n\n\n\n\n\n\n\n\n\n\n{headers}{resource}");
    let secret = base64::engine::general_purpose::STANDARD.decode(EMULATOR_KEY).unwrap();
    let mac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let signature = base64::engine::general_purpose::STANDARD
        .encode(aws_lc_rs::hmac::sign(&mac, signed.as_bytes()).as_ref());
    let made = reqwest::Client::new()
        .put(format!("{url}/devstoreaccount1/{name}?restype=container"))
        .header("x-ms-date", date)
        .header("x-ms-version", "2023-11-03")
        .header("authorization", format!("SharedKey devstoreaccount1:{signature}"))
        .header("content-length", "0")
        .send()
        .await
        .unwrap();
    assert_eq!(made.status().as_u16(), 201, "{}", made.text().await.unwrap());
    let azure = Azure {
        account: "devstoreaccount1".into(),
        container: name,
        key: EMULATOR_KEY.into(),
        endpoint: Some(format!("{url}/devstoreaccount1")),
    };
    Objects::azure(&azure).unwrap()
}

/// Runs where `AZURITE_URL` says where it is: `azurite-blob` (npm `azurite`, in `tools/`).
#[tokio::test]
async fn azurite_keeps_its_promises() {
    let Some(url) = azurite() else { return };
    keeps_its_promises(container(&url).await).await;
}

#[tokio::test]
async fn a_link_of_ours_opens_at_azurite_for_its_time_and_for_one_thing() {
    let Some(url) = azurite() else { return };
    let objects = container(&url).await;
    let file = key("com_1/live/usage/upl_1.csv");
    objects.put(&file, Bytes::from_static(b"a,1\n")).await.unwrap();
    let lifetime = std::time::Duration::from_secs(300);
    let now = jiff::Timestamp::now();
    let link = objects.link(&file, "my usage.csv", now, lifetime).unwrap();
    let got = reqwest::get(&link).await.unwrap();
    assert_eq!(got.status().as_u16(), 200, "{link}");
    assert_eq!(got.headers()["content-disposition"], "attachment; filename=\"my usage.csv\"");
    assert_eq!(got.headers()["content-type"], "application/octet-stream");
    assert_eq!(got.text().await.unwrap(), "a,1\n");
    let old = now - jiff::SignedDuration::from_secs(900);
    for refused in [
        objects.link(&file, "my usage.csv", old, lifetime).unwrap(),
        link.replace("upl_1.csv", "upl_2.csv"),
        link.replace("sp=r", "sp=rw"),
        link.replace("my+usage", "my+page"),
    ] {
        assert_eq!(reqwest::get(&refused).await.unwrap().status().as_u16(), 403, "{refused}");
    }
    let written = reqwest::Client::new().put(&link).header("x-ms-blob-type", "BlockBlob").body("x").send();
    assert_eq!(written.await.unwrap().status().as_u16(), 403, "it reads, and does not write");
}

#[test]
fn a_key_cannot_leave_its_place() {
    for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a b", "ä", "a\\b", "a%2fb"] {
        assert!(ObjectKey::parse(bad).is_none(), "{bad}");
    }
    assert!(ObjectKey::parse("com_1/media/a-b.c.png").is_some());
}

#[test]
fn links_are_signed_as_recorded() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/azure-blob-service-sas.json");
    let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let account_key = file["account_key"].as_str().unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(account_key).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let f = |name: &str| case["fields"][name].as_str().unwrap();
        let fields = Fields {
            permissions: f("sp"),
            start: f("st"),
            expiry: f("se"),
            resource: f("canonicalizedResource"),
            identifier: f("si"),
            ip: f("sip"),
            protocol: f("spr"),
            version: f("sv"),
            kind: f("sr"),
            disposition: f("rscd"),
            content_type: f("rsct"),
        };
        assert_eq!(fields.sign(&decoded), case["sig_base64"].as_str().unwrap(), "{}", case["name"]);
    }
    let azure = Azure {
        account: "devstoreaccount1".into(),
        container: "media".into(),
        key: account_key.into(),
        endpoint: Some("http://127.0.0.1:10000/devstoreaccount1".into()),
    };
    let now = "2029-12-31T23:50:00Z".parse().unwrap();
    let link = Objects::azure(&azure).unwrap();
    let link =
        link.link(&key("t1/a.csv"), "my \"list\".csv", now, std::time::Duration::from_secs(600)).unwrap();
    assert!(link.starts_with(
        "http://127.0.0.1:10000/devstoreaccount1/media/t1/a.csv?sp=r&se=2030-01-01T00%3A00%3A00Z&"
    ));
    assert!(link.contains("rscd=attachment%3B+filename%3D%22my+list.csv%22"), "{link}");
}
