//! Region rules (§13): what the law of a place asks of a cancel flow, as rows of data (`rows.json`). A company may make a
//! row stricter and never laxer. Which rows hold for a customer, and what they come to together, is decided once, when a
//! visit begins, and is kept with it. Not legal advice.

mod model;
mod ops;
pub mod rpc;
mod store;

pub use model::{Applied, Requirements, Row, Source, Whereabouts, regions, resolve, shipped};
pub use ops::{Held, RegionRules};
pub use store::RuleStore;
