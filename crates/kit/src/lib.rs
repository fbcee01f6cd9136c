//! The chassis of a process: everything a service needs before it knows what it is about. No database, no event
//! bus, no message of ours: those crates build on this one, and this one knows none of them.

pub mod caller;
pub mod client;
pub mod clock;
pub mod config;
pub mod error;
pub mod event;
pub mod id;
pub mod listen;
pub mod locale;
pub mod money;
pub mod page;
mod ready;
pub mod run;
pub mod service;
pub mod task;
pub mod telemetry;
pub mod time;
pub mod tls;

pub use caller::{Actor, Caller, Mode, Role, Scope};
pub use clock::{Clock, SharedClock};
pub use error::{Code, Coded, Fault, FieldError};
pub use event::Outgoing;
pub use jiff::Timestamp;
pub use money::{Currency, Money};
pub use page::{Page, PageRequest};
pub use secrecy::{ExposeSecret, SecretString};
pub use service::Service;
