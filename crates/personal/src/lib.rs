//! What a service does when a person wants to know what is kept of them, to be forgotten, or to be left in peace. The same
//! in each: it says on which shelves records of somebody lie ([`Holder`]), and the rest is here: hearing the order,
//! doing it so that it may be done twice, answering with a receipt that is never lost, and handing out the records.

mod desk;
mod order;
mod receipt;
mod rpc;
mod shelf;

use async_trait::async_trait;

pub use desk::Desk;
pub use order::{Done, Held, How, Kind, Order, Part, Whose};
pub use receipt::{COLLECTION, Given, Receipts};
pub use shelf::{Erase, Shelf};

/// The family of events that orders and receipts are.
pub const FAMILY: &str = "privacy";

/// What a service knows of its own records.
#[async_trait]
pub trait Holder: Send + Sync + 'static {
    /// Where records of somebody lie, and what an erasure does to them. Asked before anything is erased.
    async fn shelves(&self, order: &Order) -> anyhow::Result<Vec<Shelf>>;

    /// What an erasure does beside emptying the shelves. Done after them, so that what finds the records is there until
    /// they are gone; the shelves are emptied once more afterwards.
    async fn erase(&self, order: &Order) -> anyhow::Result<Part>;

    /// Stops using what is kept, or uses it again.
    async fn restrict(&self, order: &Order, restricted: bool) -> anyhow::Result<Part>;
}
