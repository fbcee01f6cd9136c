//! Who is meant: companies as identity knows them, customers as billing does; and the same over gRPC.

use async_trait::async_trait;
use kit::{Caller, Code, Fault, Scope};
use proto::billing as pb;
use proto::billing::customer_service_client::CustomerServiceClient;
use proto::identity::ResolveCompanyRequest;
use proto::identity::directory_service_client::DirectoryServiceClient;

use crate::upstream::{CHECK, Upstreams};

/// How somebody says who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// In lower case.
    Email(String),
    /// The company's own id.
    Customer(String),
}

/// A company.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Company {
    pub id: String,
    pub name: String,
}

/// A customer who is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub customer_id: String,
    /// There is an address a code can be sent to.
    pub reachable: bool,
}

/// The services below, as a verification sees them.
#[async_trait]
pub trait People: Send + Sync {
    /// The company of an id, slug or public key; none where there is none in business.
    async fn company(&self, key: &str) -> Result<Option<Company>, Fault>;
    /// The customers who are meant: several may share an address.
    async fn customers(&self, scope: &Scope, who: &Who) -> Result<Vec<Found>, Fault>;
}

/// Over gRPC.
pub struct Upstreamed(pub Upstreams);

/// More customers than this do not share an address.
const MOST: u32 = 5;

fn silent(status: &tonic::Status) -> Fault {
    Fault::unavailable("upstream_unavailable", anyhow::anyhow!("{}", status.message()))
}

#[async_trait]
impl People for Upstreamed {
    async fn company(&self, key: &str) -> Result<Option<Company>, Fault> {
        let up = &self.0.identity;
        let asked = ResolveCompanyRequest { key: key.to_owned() };
        let caller = Caller::internal("content-svc", None);
        let request = up.request(&caller, CHECK, asked).map_err(|s| silent(&s))?;
        match DirectoryServiceClient::new(up.channel()).resolve_company(request).await {
            Ok(reply) => {
                let company = reply.into_inner();
                let known = Company { id: company.company_id, name: company.name };
                Ok(Some(known).filter(|_| company.status != "closed"))
            }
            Err(status) if matches!(kit::error::said(&status).code, Code::NotFound | Code::Invalid) => {
                Ok(None)
            }
            Err(status) => Err(silent(&status)),
        }
    }

    async fn customers(&self, scope: &Scope, who: &Who) -> Result<Vec<Found>, Fault> {
        let up = &self.0.billing;
        let (email, external_id) = match who {
            Who::Email(email) => (email.clone(), String::new()),
            Who::Customer(id) => (String::new(), id.clone()),
        };
        let asked = pb::ListCustomersRequest { limit: MOST, email, external_id, ..Default::default() };
        let caller = Caller::internal("content-svc", Some(scope.clone()));
        let request = up.request(&caller, CHECK, asked).map_err(|s| silent(&s))?;
        let found = CustomerServiceClient::new(up.channel()).list_customers(request).await;
        let found = found.map_err(|s| silent(&s))?.into_inner().items.into_iter();
        let there = found.filter(|c| c.state() != pb::CustomerState::Erased);
        Ok(there.map(|c| Found { reachable: !c.email.is_empty(), customer_id: c.id }).collect())
    }
}
