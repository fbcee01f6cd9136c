//! User sessions: sign-in by mailed code, access tokens, rotating refresh tokens (§10.11 of the domain).

mod codes;
mod keys;
mod model;
mod ops;
mod refresh;
mod rpc;
mod sign_in;
mod sso;
mod store;

pub use codes::CodeStore;
pub use keys::Keys;
pub use model::{SSO, Session, SignIn, State};
pub use ops::{Grant, Sessions, Standing};
pub(crate) use rpc::{Rpc, grant_to};
pub use sign_in::Limits;
pub use store::SessionStore;
