//! Two services that show each other who they are, while their certificates are exchanged under them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::caller::{Minter, SigningKey, Verifier};
use kit::client::Upstream;
use kit::listen::Door;
use kit::tls::{self, Certificates};
use kit::{Caller, Service};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// An authority, and what it signs.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self(Issuer::new(params, key), pem)
    }

    /// Writes a certificate and its key where they are looked for; the key first, as a careful hand would not.
    fn write(&self, folder: &Path, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        let pem = params.signed_by(&key, &self.0).unwrap().pem();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), pem).unwrap();
    }
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn only_who_shows_a_certificate_is_let_in_and_certificates_change_under_way() {
    kit::run::crypto();
    let folder = Folder(std::env::temp_dir().join(kit::id::new("tls")));
    std::fs::create_dir_all(&folder.0).unwrap();
    let at = |name: &str| Some(folder.0.join(name));
    let first = Authority::new();
    std::fs::write(at("ca.pem").unwrap(), &first.1).unwrap();
    first.write(&folder.0, "server");
    first.write(&folder.0, "client");
    let settings = Certificates {
        tls_cert: at("server.pem"),
        tls_key: at("server.key"),
        tls_client_ca: at("ca.pem"),
        upstream_ca: at("ca.pem"),
        upstream_cert: at("client.pem"),
        upstream_cert_key: at("client.key"),
    };
    let server = tls::Server::open(&settings).unwrap().unwrap();
    let client = tls::Client::open(&settings).unwrap().unwrap();
    client.clone().install();
    let following = [tokio::spawn(server.clone().follow()), tokio::spawn(client.follow())];

    let key = Arc::new(SigningKey::from_seed(&SigningKey::new_seed()).unwrap());
    let clock: kit::SharedClock = Arc::new(kit::clock::SystemClock);
    let verifier = Verifier::new("test-svc", &[key.public()], clock.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    // A room of somebody else's making is enough: what is looked at is the way in.
    let room = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .unwrap();
    let service = Service::new("test-svc").verified_by(verifier).room(room);
    let door = Door { tls: Some(server), ..Door::default() };
    tokio::spawn(kit::run::serve_at(door, service, listener, stop.clone(), Duration::from_secs(2)));
    let minter = Minter::new("gateway", key, clock);
    let call = async || {
        let up = Upstream::new("test-svc", &format!("https://localhost:{port}"), minter.clone()).unwrap();
        let ask = HealthCheckRequest { service: String::new() };
        let request = up.request(&Caller::internal("gateway", None), Duration::from_secs(5), ask).unwrap();
        HealthClient::new(up.channel()).check(request).await
    };
    call().await.unwrap();

    // Without a certificate, and in plain words.
    assert!(stays(port, &first.1).await.is_err(), "nobody without a certificate");
    let plain = Upstream::new("test-svc", &format!("http://localhost:{port}"), minter.clone()).unwrap();
    let ask = tonic::Request::new(HealthCheckRequest { service: String::new() });
    assert!(HealthClient::new(plain.channel()).check(ask).await.is_err());

    // A new authority: for a while both sides disagree, then every new connection is made under it.
    let second = Authority::new();
    second.write(&folder.0, "server");
    second.write(&folder.0, "client");
    std::fs::write(at("ca.pem").unwrap(), format!("{}{}", first.1, second.1)).unwrap();
    for _ in 0..100 {
        if shown(port, &second.1).await {
            call().await.unwrap();
            stop.cancel();
            following.iter().for_each(tokio::task::JoinHandle::abort);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new certificate was not shown within ten seconds");
}

/// Connects without a certificate of its own and says hello; an error when it is shown out.
async fn stays(port: u16, authority: &str) -> std::io::Result<()> {
    let mut stream = handshake(authority.as_bytes(), port).await?;
    // In TLS 1.3 the refusal arrives with the first read.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
    if stream.read(&mut [0; 64]).await? == 0 { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

async fn handshake(
    authority: &[u8],
    port: u16,
) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(authority) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(("localhost", port)).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// Whether the server shows a certificate of this authority.
async fn shown(port: u16, authority: &str) -> bool {
    handshake(authority.as_bytes(), port).await.is_ok()
}
