//! Flow sessions: one customer's visit to a cancel flow (§10.2). The wish to cancel is recorded before anything else is
//! tried, and what could not be carried out at once is carried out later (`settle.rs`); `saved` and `canceled` come from
//! reading the provider back, never from the browser.

mod advance;
mod billing;
mod by_hand;
mod consume;
mod convert;
mod durable;
mod evidence;
mod keep;
mod model;
mod ops;
pub mod rpc;
mod settle;
mod start;
mod store;
mod tell;
mod token;

pub use billing::{Billing, Carried, Promise, Segments, Upstreamed, Visitor, facts_of};
pub use consume::Listener;
pub use convert::{answer_to_wire, answers as answers_of, answers_among, screen as screen_to_wire};
pub use durable::{Durability, Durable, Turns};
pub use evidence::{Evidence, Seen};
pub use model::{FlowRef, FlowSession, Heard, Hold, OnTable, Pending, ShownOffer, State, Subject, Visit};
pub use ops::FlowSessions;
pub use store::{FlowStore, Trodden, shelf};
pub(crate) use tell::changed;
pub use token::{Claims, LOOK, Tokens, Use};
