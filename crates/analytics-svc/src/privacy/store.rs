//! Where analytics' records of a person lie.

use bson::doc;
use personal::{Erase, Shelf};
use store::Record as _;

use crate::facts::Customer;
use crate::{analytics, product_usage, user_events};

/// `names`: what the customers are called in what others sent; `keys`: the same and their addresses, for usage rows.
pub fn shelves(customers: &[String], names: &[String], datasets: &[String], keys: &[String]) -> Vec<Shelf> {
    let of = |field: &str, any: &[String]| doc! { field: { "$in": any } };
    let figures = "a figure: when, which reason, what came of it; nothing says who it was";
    vec![
        Shelf::new("customers", Customer::COLLECTION, of("_id", customers), Erase::Apart),
        Shelf::new("user_events", user_events::COLLECTION, of("customer", names), Erase::Remove),
        Shelf::new("usage_rows", product_usage::ROWS, product_usage::about(datasets, keys), Erase::Remove),
        Shelf::new("flow_figures", analytics::SESSIONS, of("body.customer", customers), Erase::Keep(figures)),
    ]
}
