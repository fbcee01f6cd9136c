//! Questionnaires: the questions customers are asked, and the choices that name their reasons. Labels may change, keys
//! never: answers are counted by them for years.

mod model;
mod ops;
mod responses;
pub mod rpc;
pub(crate) mod store;
mod summary;

pub use model::{Choice, Question, QuestionType, QuestionnaireContent, QuestionnaireKind};
pub use ops::Questionnaires;
pub use responses::{Response, Responses};
pub use store::{Asked, IntakeStore};
pub use summary::{Answers, Count, Summary, Tally};
