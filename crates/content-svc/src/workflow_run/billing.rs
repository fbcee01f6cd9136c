//! What runs have done at billing.

use std::time::Duration;

use async_trait::async_trait;
use kit::{Caller, Code};
use proto::billing::TagCustomerRequest;
use proto::billing::customer_service_client::CustomerServiceClient;

use crate::flow_session::Upstreamed;
use crate::workflow::Tag;

/// How long a tag may take before it is tried again.
const ACT: Duration = Duration::from_secs(5);

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotDone {
    /// Stable slug.
    pub code: String,
    /// Trying again will not help.
    pub hopeless: bool,
}

/// Who carries out what a run cannot ask for by an event.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Gives and takes tags. Done again, it changes nothing.
    async fn tag(&self, caller: &Caller, customer: &str, tag: &Tag) -> Result<(), NotDone>;
}

#[async_trait]
impl Carrier for Upstreamed {
    async fn tag(&self, caller: &Caller, customer: &str, tag: &Tag) -> Result<(), NotDone> {
        let up = &self.0.billing;
        let Tag { add, remove } = tag.clone();
        let asked = TagCustomerRequest { id: customer.to_owned(), add, remove };
        let request = up.request(caller, ACT, asked).map_err(|s| not_done(&s))?;
        let reply = CustomerServiceClient::new(up.channel()).tag_customer(request).await;
        reply.map(drop).map_err(|s| not_done(&s))
    }
}

fn not_done(status: &tonic::Status) -> NotDone {
    let said = kit::error::said(status);
    let hopeless = matches!(said.code, Code::Refused | Code::Invalid | Code::NotFound | Code::Unsupported);
    NotDone { code: said.slug, hopeless }
}
