//! The five services behind the door.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use kit::Caller;
use kit::caller::Minter;
use kit::client::Upstream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Extensions, Request, Status};

use crate::config::Config;
use crate::edge::codec::RawCodec;

/// The largest reply that is taken into memory; what is larger is streamed or linked.
const LARGEST: usize = 16 * 1024 * 1024;

#[derive(Clone)]
pub struct Upstreams(HashMap<&'static str, Upstream>);

impl Upstreams {
    pub fn new(config: &Config, minter: &Minter) -> anyhow::Result<Self> {
        let all = [
            ("identity", "identity-svc", &config.identity_addr),
            ("billing", "billing-svc", &config.billing_addr),
            ("content", "content-svc", &config.content_addr),
            ("analytics", "analytics-svc", &config.analytics_addr),
            ("notify", "notify-svc", &config.notify_addr),
        ];
        let made =
            all.into_iter().map(|(short, name, at)| Ok((short, Upstream::new(name, at, minter.clone())?)));
        Ok(Self(made.collect::<anyhow::Result<_>>()?))
    }

    /// A service by the word in its package: `billing`.
    pub fn get(&self, service: &str) -> Result<&Upstream, Status> {
        self.0.get(service).ok_or_else(|| Status::unimplemented("no such service"))
    }

    /// Calls an rpc with an encoded message that keeps the rules of its fields; the encoded reply and its metadata.
    pub async fn call(
        &self,
        service: &str,
        rpc: &PathAndQuery,
        caller: &Caller,
        deadline: Duration,
        message: Bytes,
    ) -> Result<(Bytes, MetadataMap), Status> {
        let upstream = self.get(service)?;
        let mut meta = MetadataMap::new();
        upstream.prepare(caller, deadline, &mut meta).map_err(|f| kit::error::status(&f))?;
        meta.insert(kit::client::CHECKED, MetadataValue::from_static(proto::check::rules()));
        let mut request = Request::from_parts(meta, Extensions::default(), message);
        request.set_timeout(deadline);
        let mut grpc = tonic::client::Grpc::new(upstream.channel()).max_decoding_message_size(LARGEST);
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let reply = grpc.unary(request, rpc.clone(), RawCodec).await?;
        let (meta, bytes, _) = reply.into_parts();
        Ok((bytes, meta))
    }
}
