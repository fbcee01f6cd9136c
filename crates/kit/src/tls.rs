//! Transport security by configuration, with certificates read again when their files change: connections under way keep
//! what they began with, the next ones use what is there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Where certificates are; PEM. Nothing given: plain connections.
#[derive(Args, Clone, Debug, Default)]
pub struct Certificates {
    /// The certificate chain this process shows to who connects to it.
    #[arg(long, env = "RETENTION_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, env = "RETENTION_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Who connects must show a certificate of this authority: mutual TLS, for services behind the gateway.
    #[arg(long, env = "RETENTION_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// The authority of the services this process calls at `https://` addresses.
    #[arg(long, env = "RETENTION_UPSTREAM_CA")]
    pub upstream_ca: Option<PathBuf>,
    /// The certificate chain this process shows to services it calls.
    #[arg(long, env = "RETENTION_UPSTREAM_CERT", requires_all = ["upstream_cert_key", "upstream_ca"])]
    pub upstream_cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, env = "RETENTION_UPSTREAM_CERT_KEY", requires = "upstream_cert")]
    pub upstream_cert_key: Option<PathBuf>,
}

/// What is shown to who connects.
#[derive(Clone)]
pub struct Server(Arc<Files<ServerConfig>>);

impl Server {
    /// Reads the files, if any are named. What cannot be read at start stops it; later it is only said.
    pub fn open(settings: &Certificates) -> Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&settings.tls_cert, &settings.tls_key) else { return Ok(None) };
        let (cert, key, ca) = (cert.clone(), key.clone(), settings.tls_client_ca.clone());
        let paths = [Some(cert.clone()), Some(key.clone()), ca.clone()].into_iter().flatten().collect();
        let read = move || server(&cert, &key, ca.as_deref());
        Ok(Some(Self(Files::open(paths, Box::new(read))?)))
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.now())
    }

    /// Follows the files. A task of the service.
    pub async fn follow(self) {
        self.0.follow().await;
    }
}

fn server(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<ServerConfig> {
    let builder = match client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots(ca)?)).build()?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain(cert)?, private(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// How services at `https://` addresses are called.
#[derive(Clone)]
pub struct Client(Arc<Files<ClientConfig>>);

/// The client of this process, like its cryptography: installed once, before the first call.
static CLIENT: OnceLock<Client> = OnceLock::new();

impl Client {
    pub fn open(settings: &Certificates) -> Result<Option<Self>> {
        let Some(ca) = settings.upstream_ca.clone() else { return Ok(None) };
        let own = settings.upstream_cert.clone().zip(settings.upstream_cert_key.clone());
        let of_own = own.iter().flat_map(|(cert, key)| [cert.clone(), key.clone()]);
        let paths = std::iter::once(ca.clone()).chain(of_own).collect();
        let read = move || client(&ca, own.as_ref());
        Ok(Some(Self(Files::open(paths, Box::new(read))?)))
    }

    /// Makes this the client of the process; the first one stays.
    pub fn install(self) {
        CLIENT.set(self).ok();
    }

    pub(crate) fn installed() -> Result<Self> {
        CLIENT.get().cloned().context("an https:// address needs RETENTION_UPSTREAM_CA")
    }

    /// A connection over which HTTP/2 is spoken.
    pub(crate) async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        TlsConnector::from(self.0.now()).connect(name, stream).await
    }

    /// Follows the files. A task of the service.
    pub async fn follow(self) {
        self.0.follow().await;
    }
}

fn client(ca: &Path, own: Option<&(PathBuf, PathBuf)>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder().with_root_certificates(roots(ca)?);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder.with_client_auth_cert(chain(cert)?, private(key)?)?,
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let chain = read().with_context(|| format!("failed to read certificates from {}", path.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(chain)
}

fn private(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path)
        .with_context(|| format!("failed to read a key from {}", path.display()))
}

fn roots(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).with_context(|| format!("{} holds no authority", path.display()))?;
    }
    Ok(roots)
}

type Read<T> = Box<dyn Fn() -> Result<T> + Send + Sync>;

/// Something made from files, made again when they change.
struct Files<T> {
    paths: Vec<PathBuf>,
    read: Read<T>,
    held: watch::Sender<Arc<T>>,
}

impl<T> Files<T> {
    fn open(paths: Vec<PathBuf>, read: Read<T>) -> Result<Arc<Self>> {
        let held = watch::Sender::new(Arc::new(read()?));
        Ok(Arc::new(Self { paths, read, held }))
    }

    fn now(&self) -> Arc<T> {
        self.held.borrow().clone()
    }

    fn stamps(&self) -> Vec<Option<SystemTime>> {
        let stamp = |path: &PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        self.paths.iter().map(stamp).collect()
    }

    async fn follow(&self) {
        let mut seen = self.stamps();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.stamps();
            if now == seen {
                continue;
            }
            // Replaced one after the other, key and certificate may not fit for a moment: then the next look reads them.
            match (self.read)() {
                Ok(fresh) => {
                    self.held.send_replace(Arc::new(fresh));
                    seen = now;
                    tracing::info!("certificates were read again");
                }
                Err(e) => tracing::warn!(error = %format!("{e:#}"), "certificates stay as they were: {e:#}"),
            }
        }
    }
}
