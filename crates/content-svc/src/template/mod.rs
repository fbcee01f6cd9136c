//! Templates: a page as a whole, with its layout, its theme and the cards in their places. Publishing pins each card at
//! its published version.

mod model;
mod ops;
mod promote;
pub mod rpc;

pub use model::{Layout, Place, TemplateContent, TemplateHead, TemplateKind};
pub use ops::Templates;
pub use promote::{Act, Promoted, Promotion};
