//! Mail: rendered, queued, sent once per key, tried again where that helps (§10.8 of the domain).

mod files;
mod message;
mod model;
mod ops;
mod render;
mod send;
mod smtp;
mod store;
mod text;
mod work;

pub use files::Files;
pub use message::{Envelope, From, build};
pub use model::{Draft, Mail, Recovery, State};
pub use ops::Mails;
pub use render::{Rendered, TEMPLATES, Templates};
pub use send::{SendError, Sender};
pub use smtp::Smtp;
pub use store::MailStore;
pub(crate) use text::fill;
pub use work::Worker;
