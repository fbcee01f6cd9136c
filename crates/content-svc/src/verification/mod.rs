//! Verification: how a customer of a company without a backend shows who they are (§7 `TemplateViewer`). A code is mailed
//! to the address the company has; whoever knows it is let into the flow as by a start token.
//!
//! Answers are the same whether or not there is such a customer. Two codes are sent at most, each good for fifteen minutes
//! and five tries. Who asks once more, or whose mail cannot be sent, is not led in circles: the wish to cancel is recorded
//! as one of somebody who could not show who they are, and people carry it out.

mod consume;
mod model;
mod ops;
mod people;
mod store;

pub use consume::Listener;
pub use model::{Answer, Verification};
pub use ops::{Asking, Verifications};
pub use people::{Company, Found, People, Upstreamed, Who};
pub use store::{VerificationStore, shelf};
