//! What analytics does when somebody is erased or asks to be left in peace.

use async_trait::async_trait;
use kit::PageRequest;
use personal::{Done, Holder, How, Order, Part, Shelf};

use super::store::shelves;
use crate::error::Error;
use crate::facts::{Customers, Told};
use crate::product_usage::Usage;

/// Analytics' records of people.
#[derive(Clone)]
pub struct AnalyticsHolder {
    pub customers: Customers,
    pub usage: Usage,
}

impl AnalyticsHolder {
    async fn where_they_lie(&self, order: &Order) -> Result<Vec<Shelf>, Error> {
        let (scope, whose) = (&order.scope, &order.whose);
        let (known, emails) = self.customers.called(scope, &whose.customers).await?;
        let names: Vec<_> = whose.names().into_iter().chain(known).collect();
        let (mut datasets, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.usage.datasets(scope, &PageRequest::new(kit::page::MAX_LIMIT, cursor)).await?;
            datasets.extend(page.items.into_iter().map(|d| d.id));
            match page.next_cursor {
                Some(next) => cursor = next,
                None => break,
            }
        }
        let keys: Vec<_> = names.iter().cloned().chain(emails).collect();
        Ok(shelves(&whose.customers, &names, &datasets, &keys))
    }

    async fn erased(&self, order: &Order) -> Result<Part, Error> {
        let (scope, customers) = (&order.scope, &order.whose.customers);
        let files = self.usage.drop_files(scope).await?;
        // Last: by what is known of them everything else is found.
        let known = self.customers.not_erased(scope, customers).await?;
        let told = customers.iter().map(|id| (id.clone(), Told::Erased)).collect();
        self.customers.hear(scope, told).await?;
        let done = [("customers", How::Emptied, known), ("usage_files", How::Removed, files)];
        let done = done.into_iter().map(|(what, how, count)| Part::of(Done::new(what, how, count)));
        Ok(done.fold(Part::default(), Part::beside))
    }
}

#[async_trait]
impl Holder for AnalyticsHolder {
    async fn shelves(&self, order: &Order) -> anyhow::Result<Vec<Shelf>> {
        Ok(self.where_they_lie(order).await?)
    }

    async fn erase(&self, order: &Order) -> anyhow::Result<Part> {
        Ok(self.erased(order).await?)
    }

    async fn restrict(&self, order: &Order, restricted: bool) -> anyhow::Result<Part> {
        let how = if restricted { How::Restricted } else { How::Lifted };
        // Those that became part of another stand aside already.
        let customers = &order.whose.customers[..order.whose.customers.len().min(1)];
        self.customers.restrict(&order.scope, customers, restricted).await?;
        Ok(Part::of(Done::new("customers", how, customers.len() as u64)))
    }
}
