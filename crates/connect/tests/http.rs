//! The client against a small server: what is repeated, what is refused, what is cut off.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use connect::http::{Http, HttpError, Settings};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers the n-th request with the n-th text (the last one again and again), and counts them.
#[expect(clippy::disallowed_methods, reason = "the server lives as long as the test's runtime")]
async fn server(answers: Vec<String>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut buffer = [0_u8; 4096];
            let read = socket.read(&mut buffer).await.unwrap();
            assert!(read > 0);
            let n = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            socket.write_all(answers[n].as_bytes()).await.unwrap();
        }
    });
    (address, seen)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn http(private: bool) -> Http {
    let settings = Settings {
        private_networks: private,
        first_wait: Duration::from_millis(5),
        largest_answer: 1_000,
        ..Settings::default()
    };
    Http::new(settings).unwrap()
}

#[tokio::test]
async fn a_read_is_repeated_until_the_server_is_well() {
    let (url, seen) = server(vec![
        answer("503 x", "", ""),
        answer("500 x", "retry-after: 0\r\n", ""),
        answer("200 OK", "", "{}"),
    ])
    .await;
    let got = http(true).call("test", "read", Method::GET, &url).send().await.unwrap();
    assert_eq!((got.status, seen.load(Ordering::SeqCst)), (200, 3));
}

#[tokio::test]
async fn a_write_is_repeated_with_a_key_only() {
    let (url, seen) = server(vec![answer("500 x", "", ""), answer("200 OK", "", "")]).await;
    let client = http(true);
    let bare = client.call("test", "write", Method::POST, &url).form(&[]).send().await.unwrap();
    assert_eq!((bare.status, seen.load(Ordering::SeqCst)), (500, 1));
    let (url, seen) = server(vec![answer("500 x", "", ""), answer("200 OK", "", "")]).await;
    let keyed = client.call("test", "write", Method::POST, &url).idempotency_key("k").send().await.unwrap();
    assert_eq!((keyed.status, seen.load(Ordering::SeqCst)), (200, 2));
}

#[tokio::test]
async fn a_server_that_asks_for_too_long_a_wait_is_not_waited_for() {
    let (url, seen) = server(vec![answer("429 x", "retry-after: 3600\r\n", "")]).await;
    let got = http(true).call("test", "read", Method::GET, &url).send().await.unwrap();
    assert_eq!((got.status, seen.load(Ordering::SeqCst)), (429, 1));
    assert_eq!(got.retry_after(), Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn redirects_are_answers_and_large_answers_are_cut_off() {
    let (url, _) = server(vec![answer("302 x", "location: http://169.254.169.254/\r\n", "")]).await;
    assert_eq!(http(true).call("test", "read", Method::GET, &url).send().await.unwrap().status, 302);
    let (url, _) = server(vec![answer("200 OK", "", &"x".repeat(2_000))]).await;
    let cut = http(true).call("test", "read", Method::GET, &url).send().await;
    assert!(matches!(cut, Err(HttpError::TooLarge)));
}

#[tokio::test]
async fn our_own_network_is_out_of_reach() {
    let (url, seen) = server(vec![answer("200 OK", "", "")]).await;
    let port = url.trim_end_matches('/').rsplit(':').next().unwrap();
    let inside = [
        url.clone(),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://2130706433:{port}/"),
        "file:///etc/passwd".into(),
        "http://169.254.169.254/latest/meta-data".into(),
    ];
    for url in inside {
        assert!(http(false).call("test", "read", Method::GET, &url).once().send().await.is_err(), "{url}");
    }
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_broken_host_is_left_alone_for_a_while() {
    let (url, seen) = server(vec![answer("500 x", "", "")]).await;
    let client = http(true);
    for _ in 0..8 {
        client.call("test", "read", Method::GET, &url).once().send().await.unwrap();
    }
    let held = client.call("test", "read", Method::GET, &url).send().await;
    assert!(matches!(held, Err(HttpError::CircuitOpen)));
    assert_eq!(seen.load(Ordering::SeqCst), 8);
}

#[tokio::test]
async fn the_trace_goes_along_and_secrets_stay_out_of_the_log() {
    use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    let log = Log::default();
    let writer = log.clone();
    let tracer = opentelemetry_sdk::trace::SdkTracerProvider::builder().build().tracer("test");
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL);
    let subscriber =
        tracing_subscriber::registry().with(lines).with(tracing_opentelemetry::layer().with_tracer(tracer));
    let _guard = tracing::subscriber::set_default(subscriber);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/x?token=hush", listener.local_addr().unwrap());
    let root = tracing::info_span!("root");
    let trace_id = root.context().span().span_context().trace_id().to_string();
    let client = http(true);
    let call = client.call("test", "read", Method::GET, &url).bearer(&"sk_hush".into()).send();
    let served = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0_u8; 4096];
        let read = socket.read(&mut buffer).await.unwrap();
        socket.write_all(answer("200 OK", "", "hush").as_bytes()).await.unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let (answered, request) = tokio::join!(tracing::Instrument::instrument(call, root), served);
    assert_eq!(answered.unwrap().status, 200);
    assert!(request.contains("authorization: Bearer sk_hush"), "{request}");
    assert!(request.contains(&format!("traceparent: 00-{trace_id}-")), "{request}");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("http_out") && !log.contains("hush"), "{log}");
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_account_that_is_asked_too_often_is_left_alone_and_others_are_not() {
    let (url, seen) =
        server(vec![answer("429 x", "retry-after: 60\r\n", ""), answer("200 OK", "", "{}")]).await;
    let (http, clock) = (http(true), kit::clock::MovedClock::default());
    let paces = connect::pace::Paces::new(Arc::new(clock.clone()));
    let allowance = connect::pace::Allowance::per_second(20);
    let (ours, theirs) =
        (paces.of("test", &"key_1".into(), allowance), paces.of("test", &"key_2".into(), allowance));
    let call = |pace| http.call("test", "read", Method::GET, &url).paced(pace).send();
    assert_eq!(call(&ours).await.unwrap().status, 429);
    let held = call(&ours).await.err().unwrap();
    assert!(matches!(held, HttpError::Held { after } if after > Duration::from_secs(50)), "{held}");
    assert_eq!(seen.load(Ordering::SeqCst), 1, "it was not sent, nor waited for");
    assert_eq!(call(&theirs).await.unwrap().status, 200);
    clock.advance(jiff::SignedDuration::from_secs(61));
    let again = paces.of("test", &"key_1".into(), allowance);
    assert_eq!(call(&again).await.unwrap().status, 200, "the same account, whoever asks");
}

#[tokio::test]
async fn a_sync_leaves_room_for_somebody_who_waits() {
    let (url, seen) = server(vec![answer("200 OK", "", "{}")]).await;
    let (http, clock) = (http(true), kit::clock::MovedClock::default());
    let paces = connect::pace::Paces::new(Arc::new(clock.clone()));
    // One in ten minutes: a bucket that does not fill while the test runs.
    let pace = paces.of("test", &"key".into(), connect::pace::Allowance::per_minute(1));
    let call = || http.call("test", "read", Method::GET, &url).paced(&pace).send();
    assert_eq!(connect::pace::in_background(call()).await.unwrap().status, 200);
    assert!(matches!(connect::pace::in_background(call()).await, Err(HttpError::Held { .. })));
    assert_eq!(call().await.unwrap().status, 200, "the reserve");
    assert!(matches!(call().await, Err(HttpError::Held { .. })));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}
