//! Single sign-on and directory sync, through whichever identity provider the installation has (`IdentityProvider`:
//! `none`, `workos`). A company's settings say which mail domains lead there and which group has which role; the way in
//! and back is bound to one browser; what the provider tells is kept first and worked on later, from webhooks and from
//! its list of events alike. An event only says where to look: what holds is read from the provider.

mod answers;
mod api;
mod cursor;
mod entry;
mod inbox;
mod model;
mod none;
mod ops;
mod place;
mod provider;
mod room;
mod rpc;
mod sign_in;
mod store;
mod sweep;
mod sync;
mod token;
mod work;

pub use api::{Access, WorkOs};
pub use entry::SignIn;
pub use model::is_local_path;
pub use none::NoProvider;
pub use provider::{IdentityProvider, ProviderError};
pub(crate) use room::{Needs, Room};
