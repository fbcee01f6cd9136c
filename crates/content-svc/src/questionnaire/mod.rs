//! Questionnaires: the questions customers are asked, and the choices that name their reasons. Labels may change, keys
//! never: answers are counted by them for years.

mod model;

pub use model::{Choice, Question, QuestionType, QuestionnaireContent, QuestionnaireKind};
