//! Card elements: the pieces a card is made of, kept once and used in many. A published card holds copies, so changing
//! a piece changes nothing that customers see until the card is published again.

mod model;

pub use model::{Action, CardElement, Element, PlanColumn, Props};
