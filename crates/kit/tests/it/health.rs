//! Who asks over gRPC whether a service takes work hears what who asks over HTTP hears.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kit::Service;
use kit::caller::{SigningKey, Verifier};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{FILE_DESCRIPTOR_SET, HealthCheckRequest};

const ROOM: &str = "grpc.reflection.v1.ServerReflection";

#[tokio::test]
async fn grpc_health_says_what_the_checks_say() {
    kit::run::crypto();
    let holds = Arc::new(AtomicBool::new(true));
    let check = holds.clone();
    let key = SigningKey::from_seed(&SigningKey::new_seed()).unwrap();
    let verifier = Verifier::new("test-svc", &[key.public()], Arc::new(kit::clock::SystemClock)).unwrap();
    let room = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let service = Service::new("test-svc").verified_by(verifier).room(room).ready("database", move || {
        let holds = check.load(Ordering::SeqCst);
        async move { if holds { Ok(()) } else { anyhow::bail!("it does not answer") } }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(kit::run::serve(service, listener, stop.clone(), Duration::from_secs(1)));

    let channel = tonic::transport::Endpoint::new(at).unwrap().connect().await.unwrap();
    for wanted in [ServingStatus::Serving, ServingStatus::NotServing, ServingStatus::Serving] {
        holds.store(wanted == ServingStatus::Serving, Ordering::SeqCst);
        for of in [ROOM, ""] {
            let ask = HealthCheckRequest { service: of.into() };
            let mut watched = HealthClient::new(channel.clone()).watch(ask).await.unwrap().into_inner();
            let said = async {
                while let Some(now) = watched.message().await.unwrap() {
                    if now.status() == wanted {
                        return true;
                    }
                }
                false
            };
            let said = tokio::time::timeout(Duration::from_secs(20), said).await;
            assert!(said.unwrap_or(false), "{of:?} never said {wanted:?}");
        }
    }
    stop.cancel();
}
