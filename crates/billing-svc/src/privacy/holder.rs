//! What billing does with its own records when a request is told: one of five, as every other service.

use async_trait::async_trait;
use personal::{Done, Holder, How, Order, Part, Shelf};

use super::store::{Names, shelves};
use crate::customer_export::Exports;
use crate::customer_merge::Merges;
use crate::customers::{Customers, EXTERNAL, State};
use crate::error::{Error, Result};
use crate::offer::Ledgers;
use crate::providers::ProviderKind;
use crate::recovery::Cases;
use crate::redemption::Redemptions;
use crate::subscription::Subscriptions;

/// Billing's records of people.
#[derive(Clone)]
pub struct BillingHolder {
    pub customers: Customers,
    pub merges: Merges,
    pub subscriptions: Subscriptions,
    pub redemptions: Redemptions,
    pub ledgers: Ledgers,
    pub cases: Cases,
    pub exports: Exports,
}

impl BillingHolder {
    /// What they are called. Of somebody who was erased nothing is known any more, and nothing is left to find by it.
    async fn names(&self, order: &Order) -> Result<Names> {
        let mut names = Names::default();
        for id in &order.whose.customers {
            let customer = match self.customers.record(&order.scope, id).await {
                Err(Error::Store(store::Error::NotFound(_))) => continue,
                other => other?.body,
            };
            for provider in ProviderKind::ALL {
                let provider = provider.as_str();
                names.links.extend(customer.names(provider).map(|n| (provider.to_owned(), n.to_owned())));
            }
            names.emails.extend(Some(customer.email).filter(|e| !e.is_empty()));
            for s in self.subscriptions.all_of(&order.scope, id).await? {
                names.subscriptions.push((s.body.provider.as_str().to_owned(), s.body.external_id));
            }
        }
        Ok(names)
    }

    async fn leave_alone(&self, order: &Order, why: &str) -> Result<u64> {
        let mut stopped = 0;
        for id in &order.whose.customers {
            stopped += self.cases.stop_all(&order.scope, id, why).await?;
        }
        Ok(stopped + self.redemptions.lapse_all(&order.scope, &order.whose.customers).await?)
    }

    async fn erased(&self, order: &Order) -> Result<Part> {
        let Order { scope, whose, .. } = order;
        self.leave_alone(order, "customer_erased").await?;
        let files = self.exports.recall(scope).await?;
        // Last: by the record everything else is found.
        let customers = self.customers.erase(scope, &whose.customers).await?;
        if let Some(survivor) = whose.customers.first() {
            self.merges.forget(scope, survivor).await?;
        }
        let done = [("customers", How::Emptied, customers), ("customer_exports", How::Removed, files)];
        let done = done.into_iter().map(|(what, how, count)| Part::of(Done::new(what, how, count)));
        Ok(done.fold(Part::default(), Part::beside))
    }

    async fn restricted(&self, order: &Order, restricted: bool) -> Result<Part> {
        let Some(customer) = order.whose.customers.first() else { return Ok(Part::default()) };
        self.ledgers.withhold(&order.scope, customer, restricted).await?;
        self.customers.restrict(&order.scope, customer, restricted).await?;
        let how = if restricted {
            self.leave_alone(order, "customer_restricted").await?;
            How::Restricted
        } else {
            How::Lifted
        };
        Ok(Part::of(Done::new("customers", how, 1)))
    }
}

#[async_trait]
impl Holder for BillingHolder {
    async fn shelves(&self, order: &Order) -> anyhow::Result<Vec<Shelf>> {
        Ok(shelves(&order.scope, &order.whose.customers, &self.names(order).await?))
    }

    async fn erase(&self, order: &Order) -> anyhow::Result<Part> {
        Ok(self.erased(order).await?)
    }

    async fn restrict(&self, order: &Order, restricted: bool) -> anyhow::Result<Part> {
        Ok(self.restricted(order, restricted).await?)
    }
}

/// Everything somebody is called by the company.
pub(super) async fn external_ids(
    customers: &Customers,
    scope: &kit::Scope,
    ids: &[String],
) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for id in ids {
        let record = customers.record(scope, id).await?;
        if record.body.state != State::Erased && record.body.merged_into.is_none() {
            all.extend(record.body.names(EXTERNAL).map(ToOwned::to_owned));
        }
    }
    Ok(all)
}
