//! Where identity's records of a customer lie.

use bson::doc;
use personal::{Erase, Shelf};
use store::Record as _;

use crate::audit::Entry;

pub fn shelves(customers: &[String]) -> Vec<Shelf> {
    let about = doc! { "body.resource": "customer", "body.resource_id": { "$in": customers } };
    let why = "the audit trail cannot be changed; it names the customer by id only";
    vec![Shelf::new("audit_entries", Entry::COLLECTION, about, Erase::Keep(why))]
}
