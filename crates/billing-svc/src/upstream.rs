//! The one service we ask: identity, for the company behind a public key, and for a company's time zone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use kit::client::Upstream;
use kit::{Caller, Code, Fault};
use moka::future::Cache;
use proto::identity::directory_service_client::DirectoryServiceClient;
use proto::identity::{ResolveCompanyRequest, ResolvedCompany};

/// How long an answer is believed. A company's key never moves to another company.
const KEPT: Duration = Duration::from_secs(60);
const DEADLINE: Duration = Duration::from_secs(3);

/// Companies by their public key.
#[derive(Clone)]
pub struct Directory {
    source: Source,
    /// Unknown keys are kept, too: somebody who tries keys must not reach identity each time.
    known: Cache<String, Option<Arc<str>>>,
    zones: Cache<String, TimeZone>,
}

#[derive(Clone)]
enum Source {
    Identity(Upstream),
    Fixed(Arc<HashMap<String, String>>),
}

impl Directory {
    pub fn new(identity: Upstream) -> Self {
        Self::of(Source::Identity(identity))
    }

    /// Companies known from the start: key → company.
    pub fn fixed(companies: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::of(Source::Fixed(Arc::new(companies.into_iter().collect())))
    }

    fn of(source: Source) -> Self {
        let known = Cache::builder().max_capacity(20_000).time_to_live(KEPT).build();
        Self { source, known, zones: Cache::builder().max_capacity(20_000).time_to_live(KEPT).build() }
    }

    /// The company behind a public key; none where nobody has it.
    pub async fn company(&self, key: &str) -> Result<Option<Arc<str>>, Fault> {
        if let Some(known) = self.known.get(key).await {
            return Ok(known);
        }
        let found: Option<Arc<str>> = match &self.source {
            Source::Fixed(all) => all.get(key).map(|c| c.as_str().into()),
            // A slug or an id resolves as well, but only the public key belongs into an address.
            Source::Identity(upstream) => {
                let found = ask(upstream, key).await?.filter(|c| c.public_key == key);
                found.map(|c| c.company_id.into())
            }
        };
        self.known.insert(key.to_owned(), found.clone()).await;
        Ok(found)
    }

    /// The time zone of a company, by its id; UTC where it has none that is known here.
    pub async fn time_zone(&self, company: &str) -> Result<TimeZone, Fault> {
        if let Some(known) = self.zones.get(company).await {
            return Ok(known);
        }
        let name = match &self.source {
            Source::Fixed(_) => None,
            Source::Identity(upstream) => ask(upstream, company).await?.map(|c| c.time_zone),
        };
        let zone = name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC);
        self.zones.insert(company.to_owned(), zone.clone()).await;
        Ok(zone)
    }
}

async fn ask(upstream: &Upstream, key: &str) -> Result<Option<ResolvedCompany>, Fault> {
    let caller = Caller::internal("billing-svc", None);
    let message = ResolveCompanyRequest { key: key.to_owned() };
    let down = |e: tonic::Status| Fault::unavailable("identity_unavailable", e);
    let request = upstream.request(&caller, DEADLINE, message).map_err(down)?;
    match DirectoryServiceClient::new(upstream.channel()).resolve_company(request).await {
        Ok(answer) => Ok(Some(answer.into_inner())),
        Err(status) if Code::of_grpc(status.code()) == Code::NotFound => Ok(None),
        Err(status) => Err(down(status)),
    }
}
