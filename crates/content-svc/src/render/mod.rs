//! What a customer sees: a published page with the words of one visit in it (`screen.rs`), and that as HTML without
//! scripts (`html.rs`). Pure: the same visit gives the same page.

mod format;
mod html;
mod screen;
mod words;

pub use format::value;
pub use html::{POLICY, PREVIEW_POLICY, Step, page as html, refusal, unshared, verify};
pub use screen::{CardView, ChoiceView, OfferView, Piece, PlaceView, QuestionView, Screen, screen};
