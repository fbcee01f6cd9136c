//! What the protos say, made into HTTP: operations, paths, binding, JSON, problems, and their description.

pub mod access;
pub mod bind;
pub mod codec;
pub mod descriptors;
pub mod json;
pub mod openapi;
pub mod problem;
pub mod schema;
pub mod template;
pub mod versions;
mod well_known;
