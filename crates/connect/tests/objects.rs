//! The object store's promises, on a folder and in memory, and the links against the recorded vectors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

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
