//! Global configuration: typed settings and feature flags. Which there are stands in `registry.rs`; only values are
//! stored, each with its whole history. What holds for a company: its own value, else the installation's, else the
//! default (`model.rs`). The other rooms read through [`Settings`], which is never more than two seconds behind.

pub mod keys;
mod model;
mod ops;
mod registry;
mod rpc;
mod settings;
mod store;

pub use model::{Editor, Kind, Setting, Source, Value, bucket};
pub use ops::GlobalConfig;
pub use registry::{SETTINGS, find};
pub(crate) use rpc::Rpc;
pub use settings::Settings;
pub use store::ConfigStore;
