//! Where notify's records of a person lie.

use bson::{Document, doc};
use personal::{Erase, Shelf};
use store::Record as _;

use crate::contacts::Contact;
use crate::email::Mail;
use crate::notification::Notification;

pub fn shelves(customers: &[String]) -> Vec<Shelf> {
    let of = |field: &str| doc! { field: { "$in": customers } };
    // The partial index holds those that speak of somebody.
    let about = || doc! { "body.about": { "$in": customers, "$exists": true } };
    let mails = |filter, to| Shelf::new("mails", Mail::COLLECTION, filter, Erase::Empty(vec![emptied(to)]));
    vec![
        Shelf::new("contacts", Contact::COLLECTION, of("_id"), Erase::Apart),
        mails(of("body.customer_id"), doc! { "body.to": "" }),
        // What goes to the company's people keeps their address.
        mails(about(), doc! {}),
        Shelf::new("notifications", Notification::COLLECTION, about(), Erase::Remove),
    ]
}

/// A mail that says nothing, and is not sent if it was not.
fn emptied(and: Document) -> Document {
    let if_open = |then: &str, or: &str| doc! { "$cond": ["$body.open", then, or] };
    let mut set = doc! {
        "body.state": if_open("suppressed", "$body.state"),
        // A mail server's answer may repeat the address.
        "body.last_error": if_open("the customer was erased", ""),
        "body.open": false,
        "body.values": "",
    };
    set.extend(and);
    doc! { "$set": set }
}
