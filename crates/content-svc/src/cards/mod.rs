//! Cards: one thing shown on a step. A card is read far more often than it is changed, so an object holds its content
//! at hand: one read by id answers a request, one indexed read a page of them.

mod model;
mod ops;
mod pictures;
pub mod rpc;

pub use model::{CardAccess, CardContent, CardHead, CardKind};
pub use ops::Cards;
