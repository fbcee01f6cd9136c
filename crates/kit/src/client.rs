//! Calls to another service of ours: one channel per service, and on every request the caller, the trace and a
//! deadline.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use opentelemetry::propagation::Injector;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Endpoint};

use crate::caller::{Caller, Minter};
use crate::error::{Fault, status};
use crate::tls::Client;

/// The metadata that names the request.
pub const REQUEST_ID: &str = "x-request-id";
/// The metadata that names the rules a message was found to keep: who has the same need not look again.
pub const CHECKED: &str = "x-checked-by";
/// The metadata of an answer that is the same for everybody of a company, until an event of the family it names.
pub const SHARED: &str = "x-shared";

/// Another service, as one of ours sees it. Connects on first use and again after the other side restarted.
#[derive(Clone)]
pub struct Upstream {
    name: &'static str,
    channel: Channel,
    minter: Minter,
}

impl Upstream {
    /// `address`: `http://host:port`.
    pub fn new(name: &'static str, address: &str, minter: Minter) -> anyhow::Result<Self> {
        let secure = address.strip_prefix("https://").map(|rest| format!("http://{rest}"));
        let endpoint = Endpoint::from_shared(secure.clone().unwrap_or_else(|| address.to_owned()))?
            .connect_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let channel = match secure {
            None => endpoint.connect_lazy(),
            // The certificates are those of the moment of connecting, whatever they were when the process began.
            Some(_) => {
                let tls = Client::installed()?;
                let connect = move |uri: http::Uri| secured(tls.clone(), uri);
                endpoint.connect_with_connector_lazy(tower::service_fn(connect))
            }
        };
        Ok(Self { name, channel, minter })
    }

    /// The service's name, which is the audience of tokens made for it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Wraps a message into a request that says who calls and how long we wait.
    pub fn request<T>(
        &self,
        caller: &Caller,
        deadline: Duration,
        message: T,
    ) -> Result<tonic::Request<T>, tonic::Status> {
        let mut request = tonic::Request::new(message);
        self.prepare(caller, deadline, request.metadata_mut()).map_err(|f| status(&f))?;
        request.set_timeout(deadline);
        Ok(request)
    }

    /// Adds caller and trace to the metadata of a request made elsewhere.
    pub fn prepare(&self, caller: &Caller, _deadline: Duration, meta: &mut MetadataMap) -> Result<(), Fault> {
        let token = self.minter.mint(caller, self.name)?;
        let bearer = MetadataValue::try_from(format!("Bearer {token}")).map_err(Fault::internal)?;
        meta.insert("authorization", bearer);
        if let Ok(id) = MetadataValue::try_from(caller.request_id.as_str()) {
            meta.insert(REQUEST_ID, id);
        }
        crate::telemetry::inject(&mut Metadata(meta));
        Ok(())
    }
}

async fn secured(tls: Client, uri: http::Uri) -> std::io::Result<TokioIo<TlsStream<TcpStream>>> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    stream.set_nodelay(true)?;
    Ok(TokioIo::new(tls.connect(&host, stream).await?))
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) =
            (MetadataKey::from_bytes(key.as_bytes()), MetadataValue::try_from(value))
        {
            self.0.insert(key, value);
        }
    }
}
