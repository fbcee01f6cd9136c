//! Onboarding: a company's way to its first live flow (§10.7 of the domain). Steps complete by evidence that the other
//! services tell of, not by clicks, and open again when it breaks. Rules: `model.rs`; which event proves what:
//! `evidence.rs`.

mod evidence;
mod model;
mod ops;
mod rpc;
mod store;

pub use evidence::{FAMILIES, Witness};
pub use model::{Onboarding, State, StepKey, StepState};
pub use ops::OnboardingDetails;
pub(crate) use rpc::Rpc;
pub use store::OnboardingStore;
