//! Usage files on their way through.

use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::world::{SECRET, World, problem};

const RPC: &str = "retention.analytics.v1.ProductUsageService.UploadUsage";

fn form(file: &str) -> Form {
    let part = Part::text(file.to_owned()).file_name("../../usage.csv").mime_str("text/csv").unwrap();
    Form::new().text("dataset", "features").text("auto_confirm", "true").part("file", part)
}

#[tokio::test]
async fn a_file_goes_through_with_its_head_and_the_mark_of_its_end() {
    let world = World::new().await;
    let response = world
        .request("POST", "/v1/usage/uploads")
        .bearer_auth(SECRET)
        .multipart(form("external_id,n\na,1\n"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.json::<Value>().await.unwrap()["id"], "");
    let asked = world.asked();
    let (rpc, caller, bytes) = &asked[0];
    let text = String::from_utf8_lossy(bytes);
    assert_eq!((rpc.as_str(), caller.actor.kind.as_str()), (RPC, "api_key"));
    assert!(
        text.contains("features")
            && text.contains("usage.csv")
            && text.contains("a,1\n")
            && !text.contains("..")
    );
    assert!(bytes.ends_with(&[0x18, 1]), "the mark of the end is field 3");
}

#[tokio::test]
async fn a_large_file_goes_through_and_a_large_part_beside_it_does_not() {
    let world = World::new().await;
    let row = "a,1\n";
    let file = format!("external_id,n\n{}", row.repeat(5 * 1024 * 1024 / row.len()));
    let post = || world.request("POST", "/v1/usage/uploads").bearer_auth(SECRET);
    assert_eq!(post().multipart(form(&file)).send().await.unwrap().status(), 200);
    assert!(world.asked()[0].2.len() > file.len(), "every byte went through");
    let large = Form::new().text("dataset", "x".repeat(65 * 1024));
    assert_eq!(problem(post().multipart(large).send().await.unwrap()).await.0, 413);
}

#[tokio::test]
async fn a_form_that_is_wrong_is_refused_and_the_list_stands_beside_it() {
    let world = World::new().await;
    let post = || world.request("POST", "/v1/usage/uploads");
    assert_eq!(problem(post().multipart(form("x")).send().await.unwrap()).await.0, 401);
    assert_eq!(problem(post().bearer_auth(SECRET).json(&1).send().await.unwrap()).await.0, 415);
    let unknown = Form::new().text("datset", "features");
    assert_eq!(problem(post().bearer_auth(SECRET).multipart(unknown).send().await.unwrap()).await.0, 422);
    let without = Form::new().text("dataset", "features");
    assert_eq!(problem(post().bearer_auth(SECRET).multipart(without).send().await.unwrap()).await.0, 422);
    world.behind.person.lock().unwrap().grants.clear();
    let not_permitted = world.admin("POST", "/v1/usage/uploads").multipart(form("x"));
    assert_eq!(problem(not_permitted.send().await.unwrap()).await.0, 403);
    let asked = world.asked();
    assert!(asked.iter().all(|(.., bytes)| !bytes.ends_with(&[0x18, 1])), "nothing whole went through");
    let list = world.admin("GET", "/v1/usage/uploads").send().await.unwrap();
    assert_eq!(list.status(), 200);
    let response = world.admin("DELETE", "/v1/usage/uploads").send().await.unwrap();
    assert_eq!(problem(response).await.0, 405);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_file() {
    use tokio::io::AsyncWriteExt;
    let world = World::new().await;
    let at = world.at.strip_prefix("http://").unwrap().to_owned();
    let mut socket = tokio::net::TcpStream::connect(at).await.unwrap();
    let begun = "--B\r\ncontent-disposition: form-data; name=\"dataset\"\r\n\r\nfeatures\r\n--B\r\ncontent-disposition: form-data; name=\"file\"; filename=\"u.csv\"\r\n\r\nexternal_id,n\na,1\n";
    let head = format!(
        "POST /v1/usage/uploads HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {SECRET}\r\ncontent-type: multipart/form-data; boundary=B\r\ncontent-length: 100000\r\n\r\n{begun}"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.flush().await.unwrap();
    testkit::eventually("the gateway knows the sender", async || {
        (world.behind.resolved.load(std::sync::atomic::Ordering::SeqCst) > 0).then_some(())
    })
    .await;
    drop(socket);
    // Whatever reached the service by now or later, it was not marked as whole.
    let whole = world
        .request("POST", "/v1/usage/uploads")
        .bearer_auth(SECRET)
        .multipart(form("a,2\n"))
        .send()
        .await
        .unwrap();
    assert_eq!(whole.status(), 200);
    let marked = world.asked().iter().filter(|(.., bytes)| bytes.ends_with(&[0x18, 1])).count();
    assert_eq!(marked, 1);
}
