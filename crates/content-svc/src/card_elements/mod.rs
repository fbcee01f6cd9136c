//! Card elements: the pieces a card is made of, kept once and used in many. A published card holds copies, so changing
//! a piece changes nothing that customers see until the card is published again.

pub mod convert;
mod model;
mod ops;
pub mod rpc;
mod store;

pub use model::{Action, CardElement, Element, Picture, PictureSize, PlanColumn, Props};
pub use ops::CardElements;
pub(crate) use ops::admitted;
pub use store::ElementStore;
