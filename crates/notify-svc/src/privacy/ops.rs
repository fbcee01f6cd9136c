//! What notify does when somebody is erased or asks to be left in peace.

use async_trait::async_trait;
use personal::{Done, Holder, How, Order, Part, Shelf};

use super::store::shelves;
use crate::contacts::ContactStore;

/// Notify's records of people.
#[derive(Clone)]
pub struct NotifyHolder {
    pub contacts: ContactStore,
}

#[async_trait]
impl Holder for NotifyHolder {
    async fn shelves(&self, order: &Order) -> anyhow::Result<Vec<Shelf>> {
        Ok(shelves(&order.whose.customers))
    }

    async fn erase(&self, order: &Order) -> anyhow::Result<Part> {
        let mut emptied = 0;
        for customer in &order.whose.customers {
            emptied += u64::from(self.contacts.forget(&order.scope, customer).await?);
        }
        Ok(Part::of(Done::new("contacts", How::Emptied, emptied)))
    }

    async fn restrict(&self, order: &Order, restricted: bool) -> anyhow::Result<Part> {
        let how = if restricted { How::Restricted } else { How::Lifted };
        let mut marked = 0;
        for customer in &order.whose.customers {
            self.contacts.restrict(&order.scope, customer, restricted).await?;
            marked += 1;
        }
        Ok(Part::of(Done::new("contacts", how, marked)))
    }
}
