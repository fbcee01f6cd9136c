//! identity-svc, as notify sees it: who is told, and what a company is called. Answers are kept for half a minute.

use std::sync::Arc;
use std::time::Duration;

use kit::client::Upstream;
use kit::{Caller, Scope};
use moka::future::Cache;
use proto::identity as pb;
use proto::identity::directory_service_client::DirectoryServiceClient;

use crate::error::{Error, Result};
use crate::notification::Recipient;

const DEADLINE: Duration = Duration::from_secs(3);
const KEPT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Directory {
    up: Upstream,
    recipients: Cache<String, Arc<Vec<Recipient>>>,
    names: Cache<String, Arc<str>>,
}

impl Directory {
    pub fn new(up: Upstream) -> Self {
        let recipients = Cache::builder().max_capacity(10_000).time_to_live(KEPT).build();
        let names = Cache::builder().max_capacity(10_000).time_to_live(KEPT).build();
        Self { up, recipients, names }
    }

    /// The active admins and experts of a company.
    pub async fn people(&self, scope: &Scope) -> Result<Arc<Vec<Recipient>>> {
        if let Some(kept) = self.recipients.get(&scope.company).await {
            return Ok(kept);
        }
        let caller = Caller::internal(crate::NAME, Some(scope.clone()));
        let ask = pb::ListRecipientsRequest { roles: vec!["ret_admin".into(), "ret_exp".into()] };
        let ask = self.up.request(&caller, DEADLINE, ask).map_err(unavailable)?;
        let answer = DirectoryServiceClient::new(self.up.channel()).list_recipients(ask).await;
        let items = answer.map_err(unavailable)?.into_inner().items;
        let people: Arc<Vec<_>> = Arc::new(items.into_iter().map(recipient_from).collect());
        // Nobody yet is not kept: a company's first people come in while it is new.
        if !people.is_empty() {
            self.recipients.insert(scope.company.clone(), people.clone()).await;
        }
        Ok(people)
    }

    /// The company's name, for its customers.
    pub async fn company_name(&self, scope: &Scope) -> Result<Arc<str>> {
        if let Some(kept) = self.names.get(&scope.company).await {
            return Ok(kept);
        }
        let caller = Caller::internal(crate::NAME, Some(scope.clone()));
        let ask = pb::ResolveCompanyRequest { key: scope.company.clone() };
        let ask = self.up.request(&caller, DEADLINE, ask).map_err(unavailable)?;
        let answer = DirectoryServiceClient::new(self.up.channel()).resolve_company(ask).await;
        let name: Arc<str> = answer.map_err(unavailable)?.into_inner().name.into();
        self.names.insert(scope.company.clone(), name.clone()).await;
        Ok(name)
    }
}

fn unavailable(status: tonic::Status) -> Error {
    Error::Identity(Box::new(status))
}

fn recipient_from(r: pb::Recipient) -> Recipient {
    let pb::Recipient { user_id, email, name, locale, role, sees_personal_data } = r;
    Recipient { user_id, email, name, locale, role, sees_personal_data }
}
