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
        let older = doc! { "body.sequence": { "$lte": contact.sequence } };
        // Field by field: that somebody is not to be written to is nobody's word but a privacy request's.
        let Contact { email, name, locale, sequence, restricted: _ } = &contact;
        let update = doc! { "$set": {
            "body.email": email, "body.name": name, "body.locale": locale, "body.sequence": *sequence,
        } };
        if self.contacts.update(scope, customer, older, update, Vec::new()).await?.is_some() {
            return Ok(());
        }
        match self.contacts.insert(scope, customer.to_owned(), contact, Vec::new()).await {
            // A newer one is there.
            Ok(_) | Err(store::Error::Duplicate(_)) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Nothing of the contact stays, whatever was said before and comes late. Whether there was anything.
    pub async fn forget(&self, scope: &Scope, customer: &str) -> Result<bool, store::Error> {
        let known = self.get(scope, customer).await?.is_some_and(|c| c != Contact::erased());
        self.contacts.upsert(scope, customer.to_owned(), Contact::erased(), Vec::new()).await?;
        Ok(known)
    }

    /// Whether somebody may be written to.
    pub async fn restrict(
        &self,
        scope: &Scope,
        customer: &str,
        restricted: bool,
    ) -> Result<(), store::Error> {
        let update = doc! { "$set": { "body.restricted": restricted } };
        if self.contacts.update(scope, customer, doc! {}, update.clone(), Vec::new()).await?.is_some() {
            return Ok(());
        }
        let unknown = Contact { restricted, ..Contact::default() };
        match self.contacts.insert(scope, customer.to_owned(), unknown, Vec::new()).await {
            Err(store::Error::Duplicate(_)) => {
                self.contacts.update(scope, customer, doc! {}, update, Vec::new()).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}
