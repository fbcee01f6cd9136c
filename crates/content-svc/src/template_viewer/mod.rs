//! Looking at pages before customers do: a draft, a version, or one card, for somebody made up or for a customer as they
//! are known now. The page is made by the code that makes it for a visit (`render`), over a visit that is nowhere kept; no
//! offer is presented, nothing is written and nothing counted. Links let people look who cannot sign in.

mod model;
mod ops;
pub mod rpc;
mod stage;
mod store;

pub use model::{Device, Look, ShareLink, Standing};
pub use ops::{Shared, TemplateViewer};
pub use stage::{Shown, What};
pub use store::LinkStore;
