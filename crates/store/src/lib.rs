//! MongoDB for every service: collections that cannot be queried without a company and a mode, writes that carry
//! their events, and what is built on both: leases, jobs, cron, grouped inserts.

pub mod across;
pub mod connect;
pub mod cron;
pub mod error;
pub mod grouped;
pub mod index;
pub mod jobs;
pub mod lease;
pub mod outbox;
pub mod page;
pub mod repo;
pub mod time;
pub mod transaction;

pub use across::Across;
pub use connect::{connect, ready};
pub use error::Error;
pub use index::Index;
pub use jobs::Jobs;
pub use lease::{Lease, Leases};
pub use page::Sort;
pub use repo::{Record, Repo, Stored};
pub use transaction::{Transaction, transaction};

pub type Result<T> = std::result::Result<T, Error>;
