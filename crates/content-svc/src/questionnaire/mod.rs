//! Questionnaires: the questions customers are asked, and the choices that name their reasons. Labels may change, keys
//! never: answers are counted by them for years.

mod model;
mod ops;
pub mod rpc;

pub use model::{Choice, Question, QuestionType, QuestionnaireContent, QuestionnaireKind};
pub use ops::Questionnaires;
