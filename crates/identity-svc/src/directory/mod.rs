//! What other services must know of companies, people and keys, and the public halves of our signing keys.

mod rpc;

pub(crate) use rpc::{Directory, Jwks};
