//! The queries of contacts. A contact has its customer's id.

use bson::doc;
use kit::{Scope, SharedClock};
use mongodb::Database;
use store::{Index, Record, Repo};

use super::model::Contact;

impl Record for Contact {
    const COLLECTION: &'static str = "contacts";
    const NOUN: &'static str = "contact";

    fn indexes() -> Vec<Index> {
        Vec::new()
    }
}

#[derive(Clone)]
pub struct ContactStore {
    contacts: Repo<Contact>,
}

impl ContactStore {
    pub async fn open(db: &Database, clock: SharedClock) -> Result<Self, store::Error> {
        Ok(Self { contacts: Repo::open(db, clock).await? })
    }

    pub async fn get(&self, scope: &Scope, customer: &str) -> Result<Option<Contact>, store::Error> {
        Ok(self.contacts.find(scope, doc! { "_id": customer }).await?.map(|c| c.body))
    }

    /// Keeps a contact, unless a newer one is there.
    pub async fn keep(&self, scope: &Scope, customer: &str, contact: Contact) -> Result<(), store::Error> {
        let body = store::transaction::bson(&contact)?;
        let older = doc! { "body.sequence": { "$lte": contact.sequence } };
        let update = doc! { "$set": { "body": body } };
        if self.contacts.update(scope, customer, older, update, Vec::new()).await?.is_some() {
            return Ok(());
        }
        match self.contacts.insert(scope, customer.to_owned(), contact, Vec::new()).await {
            // A newer one is there.
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }

    pub async fn forget(&self, scope: &Scope, customer: &str) -> Result<(), store::Error> {
        self.contacts.remove(scope, customer).await.map(|_| ())
    }
}
