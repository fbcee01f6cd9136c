//! Slow clients cost a place for a while and nobody an answer.

use std::time::Duration;

use kit::Service;
use kit::listen::Door;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

async fn served(door: Door) -> (String, DropGuard) {
    kit::run::crypto();
    let router = axum::Router::new().route("/hello", axum::routing::get(|| async { "hello" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    let service = Service::new("test").http(router);
    tokio::spawn(kit::run::serve_at(door, service, listener, stop.clone(), Duration::from_secs(2)));
    (at, stop.drop_guard())
}

/// Sends some bytes and reads until the other side closes.
async fn said(at: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_dribbles_is_cut_off_and_others_are_served() {
    let (at, _stop) = served(Door { head: Duration::from_millis(200), ..Door::default() }).await;
    let silent = said(&at, b"").await;
    let dribbling = said(&at, b"GET /hello HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
    for answer in [silent, dribbling] {
        assert!(!answer.contains("200"), "{answer}");
    }
    let good = said(&at, b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(good.starts_with("HTTP/1.1 200") && good.ends_with("hello"), "{good}");
}

#[tokio::test]
async fn a_full_house_lets_the_next_one_wait() {
    let (at, _stop) = served(Door { head: Duration::from_millis(300), most: 1, ..Door::default() }).await;
    let sitting = TcpStream::connect(&at).await.unwrap();
    // Served when the one who says nothing is shown out.
    let good = said(&at, b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(good.ends_with("hello"), "{good}");
    drop(sitting);
}

#[tokio::test]
async fn heads_that_two_readers_could_read_differently_are_refused() {
    let (at, _stop) = served(Door::default()).await;
    let two_ways = [
        "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd".to_owned(),
        "content-length: 3\r\ntransfer-encoding: identity\r\n\r\nabc".to_owned(),
        format!("x-large: {}\r\n\r\n", "a".repeat(64 * 1024)),
        format!("{}\r\n", "x-many: 1\r\n".repeat(200)),
        "x folded: 1\r\n\r\n".to_owned(),
    ];
    for rest in two_ways {
        let head = format!("POST /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest}");
        let answer = said(&at, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{} was answered {answer}", &head[..80]);
    }
}

#[tokio::test]
async fn http_2_is_spoken_to_who_begins_with_it() {
    let (at, _stop) = served(Door::default()).await;
    let stream = TcpStream::connect(&at).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut send, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{at}/hello")).body(axum::body::Body::empty()).unwrap();
    let answer = send.send_request(request).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
}
