//! API keys: how a company's machines come in.

mod model;
mod ops;
mod rpc;
mod store;

pub use model::ApiKey;
pub use ops::ApiKeys;
pub(crate) use rpc::Rpc;
pub use store::ApiKeyStore;
