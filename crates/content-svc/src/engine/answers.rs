//! Taking a customer's answers in.

use super::evaluate::{Answer, Known, holds};
use crate::questionnaire::{Question, QuestionType, QuestionnaireContent};
use crate::text::Findings;

impl Known {
    /// Takes answers to questions of a page; nothing is taken when one is wrong. `asked`: the questionnaires of the page,
    /// `shown`: the questions it has a place for.
    pub fn hear(
        &mut self,
        given: Vec<(String, Answer)>,
        asked: &[&QuestionnaireContent],
        shown: &[&str],
    ) -> Result<(), Findings> {
        let mut wrong = Findings::default();
        let mut taken = self.clone();
        for (at, (key, answer)) in given.into_iter().enumerate() {
            let field = format!("answers[{at}]");
            let Some(question) = asked.iter().find_map(|q| q.question(&key)) else {
                wrong.error("unknown_question", field, format!("the page does not ask {key}"));
                continue;
            };
            if let Err(message) = fits(question, &answer) {
                wrong.error("wrong_answer", field, message);
                continue;
            }
            if let Some(category) = category(question, &answer) {
                taken.reason = Some(category.to_owned());
            }
            taken.answers.insert(key, answer);
        }
        let questions = asked.iter().flat_map(|q| &q.questions);
        // One that is not shown to this customer cannot be answered: to require it would hold them.
        let shown = |q: &&Question| {
            shown.contains(&q.key.as_str()) && q.show_if.as_ref().is_none_or(|rule| holds(rule, &taken))
        };
        for question in questions.filter(|q| q.required).filter(shown) {
            if !taken.answers.contains_key(&question.key) {
                wrong.error("required", format!("answers[{}]", question.key), "an answer is required");
            }
        }
        if wrong.has_errors() {
            return Err(wrong);
        }
        *self = taken;
        Ok(())
    }
}

fn category<'q>(question: &'q Question, answer: &Answer) -> Option<&'q str> {
    let Answer::Choices(keys) = answer else { return None };
    keys.first().and_then(|k| question.choice(k)).and_then(|c| c.reason_category.as_deref())
}

fn fits(question: &Question, answer: &Answer) -> Result<(), String> {
    let known = |keys: &[String]| keys.iter().all(|k| question.choice(k).is_some());
    match (question.kind, answer) {
        (QuestionType::Single, Answer::Choices(keys)) if keys.len() == 1 && known(keys) => Ok(()),
        (QuestionType::Multi, Answer::Choices(keys)) if !keys.is_empty() && known(keys) => Ok(()),
        (QuestionType::Text, Answer::Text(text)) => {
            let length = text.trim().chars().count();
            let short = length > 0 && length < question.min_length as usize;
            if short { Err(format!("at least {} characters", question.min_length)) } else { Ok(()) }
        }
        (QuestionType::Scale, Answer::Scale(n)) if (question.scale_min..=question.scale_max).contains(n) => {
            Ok(())
        }
        (QuestionType::Date, Answer::Text(text)) if text.parse::<jiff::civil::Date>().is_ok() => Ok(()),
        _ => Err(format!("not an answer to {}", question.key)),
    }
}
