//! Recovery: a payment failed, and the company asks its customer for it, step by step, until it is paid, the customer
//! leaves or the time is over. Cards are tried again by the provider alone. What a campaign is: `model.rs`; what a case
//! does next: `case.rs`. A case believes no event: it reads the subscription, and before it sends anything it reads
//! the provider's when ours is some minutes old, so that paying, cancelling or pausing stops the next mail.

mod campaigns;
mod case;
mod cases;
mod events;
mod model;
mod rpc;
mod step;
pub(crate) mod store;
mod text;
mod wire;

pub use campaigns::Campaigns;
pub use case::{Case, Next, Outcome, Planned, Seen, State, seen};
pub use cases::Cases;
pub use events::Ears;
pub use model::{Campaign, Change, Draft, Plan, Status, Step, StepKind};
pub(crate) use rpc::Rpc;
pub use store::{CampaignFilter, CaseFilter, Membership};
pub use text::Variable;
