//! Media: the pictures and documents that content shows, kept once by the hash of their bytes (`company/mode/media/hash`).
//!
//! Everybody may read what was published; until then, nobody. Publishing marks what it shows (`published_at`), so that
//! serving a picture looks at one record, remembered for seconds, and never at who uses it. The mark stays until the
//! picture is deleted: visits under way and browsers hold its address. Deleting asks who uses it.

mod intake;
mod kind;
mod model;
mod ops;
mod picture;
pub mod rpc;
mod serve;
mod store;
mod uses;

pub use intake::{Head, Part};
pub use kind::Kind;
pub use model::{Media, State, Use, Variant, address, hash_in};
pub use ops::MediaRoom;
pub use serve::{Asked, Opened};
pub use store::MediaStore;
pub use uses::Uses;
