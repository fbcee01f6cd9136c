//! MongoDB for every service: collections that cannot be queried without a company and a mode, writes that carry
//! their events, and what is built on both: leases, jobs, cron, grouped inserts.

pub mod connect;
pub mod error;
pub mod index;
pub mod outbox;
pub mod page;
pub mod repo;
pub mod time;
pub mod transaction;

pub use connect::{connect, ready};
pub use error::Error;
pub use index::Index;
pub use page::Sort;
pub use repo::{Across, Record, Repo, Stored};
pub use transaction::{Transaction, transaction};

pub type Result<T> = std::result::Result<T, Error>;
