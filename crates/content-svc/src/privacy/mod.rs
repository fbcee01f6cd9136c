//! Content's part of a privacy request. A visit without a wish to cancel is removed with whose it was; one with a wish is
//! evidence that the wish was heard, and is kept for a while without anything that says who it was.

mod ops;

pub use ops::{ContentHolder, Evidences};
