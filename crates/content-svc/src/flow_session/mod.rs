//! Flow sessions: one customer's visit to a cancel flow (§10.2). The wish to cancel is recorded before anything else is
//! tried, and what could not be carried out at once is carried out later (`settle.rs`); `saved` and `canceled` come from
//! reading the provider back, never from the browser.

mod advance;
mod billing;
mod consume;
mod convert;
mod model;
mod ops;
pub mod rpc;
mod settle;
mod start;
mod store;
mod tell;
mod token;

pub use billing::{Billing, Carried, Segments, Upstreamed, Visitor, facts_of};
pub use consume::Listener;
pub use convert::{answers as answers_of, answers_among};
pub use model::{Evidence, FlowSession, OnTable, Pending, State, Subject};
pub use ops::FlowSessions;
pub use store::{FlowStore, Trodden, shelf};
pub use token::{Claims, Tokens, Use};
