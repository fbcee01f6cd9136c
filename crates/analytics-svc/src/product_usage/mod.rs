//! Usage of the company's product, by file.
//!
//! A file is spooled to the object store while it is hashed, read once to check it, and read again to import it, two
//! chunks in flight: memory stays the same whatever its size. Rows are kept by dataset, key and period; a row that is
//! overwritten keeps what it said before, so that an upload can be taken back.

mod import;
mod intake;
mod model;
mod ops;
mod reader;
mod revert;
mod rpc;
mod store;
mod validate;

pub use model::{
    Column, ColumnType, Counts, Dataset, Grain, JoinKey, RowError, State, Upload, cell, check_columns,
};
pub use ops::{Head, KIND, Usage};
pub use reader::{Read, Rows, Unreadable};
pub use rpc::Rpc;
pub use store::{ROWS, UsageStore, about};
