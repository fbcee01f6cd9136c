//! Answers counted, question by question. Pure.

use std::collections::BTreeMap;

use super::model::{Question, QuestionType};

/// Below so many answers a share says nothing, and a mean neither (§11).
pub const LEAST: u64 = 30;

/// How often one answer was given to one question; none: free words or a date, which are not told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub question: String,
    pub keys: Option<Vec<String>>,
    pub count: u64,
}

/// One question's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answers {
    pub key: String,
    pub kind: QuestionType,
    /// In the default language.
    pub text: String,
    pub answered: u64,
    pub counts: Vec<Count>,
    pub mean: Option<f64>,
}

/// One choice, or one point of a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    pub key: String,
    pub label: String,
    pub reason_category: Option<String>,
    pub count: u64,
    /// Of those who answered the question.
    pub share: Option<f64>,
}

/// Everything that was answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub responses: u64,
    pub complete: u64,
    pub questions: Vec<Answers>,
}

/// Counts answers to these questions, in their order. A choice nobody made is counted as 0, one no version offers any more
/// as what it was.
pub fn count(questions: &[Question], tallies: &[Tally]) -> Vec<Answers> {
    questions.iter().map(|q| of(q, tallies)).collect()
}

fn of(question: &Question, tallies: &[Tally]) -> Answers {
    let these: Vec<&Tally> = tallies.iter().filter(|t| t.question == question.key).collect();
    let answered: u64 = these.iter().map(|t| t.count).sum();
    let mut by_key: BTreeMap<&str, u64> = BTreeMap::new();
    for tally in &these {
        for key in tally.keys.iter().flatten() {
            *by_key.entry(key.as_str()).or_default() += tally.count;
        }
    }
    let share = |count: u64| (answered >= LEAST).then(|| ratio(count, answered));
    let mut counts: Vec<Count> = Vec::new();
    for choice in &question.choices {
        let count = by_key.remove(choice.key.as_str()).unwrap_or(0);
        counts.push(Count {
            key: choice.key.clone(),
            label: choice.label.get(&choice.label.default_locale).to_owned(),
            reason_category: choice.reason_category.clone(),
            count,
            share: share(count),
        });
    }
    let mut points: Vec<(&str, u64)> = by_key.into_iter().collect();
    points.sort_by_key(|(key, _)| (key.parse::<i64>().unwrap_or(i64::MAX), (*key).to_owned()));
    let mean = (question.kind == QuestionType::Scale && answered >= LEAST).then(|| {
        let sum = points.iter().filter_map(|(key, n)| Some(key.parse::<u64>().ok()? * n)).sum();
        ratio(sum, answered)
    });
    counts.extend(points.into_iter().map(|(key, count)| Count {
        key: key.to_owned(),
        label: String::new(),
        reason_category: None,
        count,
        share: share(count),
    }));
    Answers {
        key: question.key.clone(),
        kind: question.kind,
        text: question.text.get(&question.text.default_locale).to_owned(),
        answered,
        counts,
        mean,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below what a double holds exactly")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questionnaire::Choice;
    use kit::locale::LocalText;

    fn question(kind: QuestionType, choices: &[&str]) -> Question {
        let choice = |key: &&str| Choice {
            key: (*key).to_owned(),
            label: LocalText::of("en", key),
            reason_category: None,
            show_if: None,
        };
        Question {
            key: "q".into(),
            kind,
            text: LocalText::of("en", "Why?"),
            help: None,
            choices: choices.iter().map(choice).collect(),
            shuffle: false,
            required: true,
            min_length: 0,
            scale_min: 0,
            scale_max: 10,
            show_if: None,
        }
    }

    fn tally(keys: &[&str], count: u64) -> Tally {
        let keys = keys.iter().map(|k| (*k).to_owned()).collect();
        Tally { question: "q".into(), keys: Some(keys), count }
    }

    fn counts(answers: &Answers) -> Vec<(&str, u64, Option<f64>)> {
        answers.counts.iter().map(|c| (c.key.as_str(), c.count, c.share)).collect()
    }

    #[test]
    fn few_answers_are_counts_and_many_are_shares() {
        let q = question(QuestionType::Single, &["price", "unused"]);
        let few = of(&q, &[tally(&["price"], 20), tally(&["unused"], 9)]);
        assert_eq!(counts(&few), [("price", 20, None), ("unused", 9, None)], "29 answers");
        let many = of(&q, &[tally(&["price"], 20), tally(&["unused"], 10), tally(&["gone"], 10)]);
        assert_eq!(
            counts(&many),
            [("price", 20, Some(0.5)), ("unused", 10, Some(0.25)), ("gone", 10, Some(0.25))],
            "a choice of an older version is not lost"
        );
    }

    #[test]
    fn several_choices_of_one_customer_count_each_and_the_customer_once() {
        let q = question(QuestionType::Multi, &["a", "b"]);
        let seen = of(&q, &[tally(&["a", "b"], 30), tally(&["a"], 10)]);
        assert_eq!((seen.answered, counts(&seen)), (40, vec![("a", 40, Some(1.0)), ("b", 30, Some(0.75))]));
    }

    #[test]
    fn a_scale_has_its_points_in_order_and_a_mean_from_thirty_on() {
        let q = question(QuestionType::Scale, &[]);
        let seen = of(&q, &[tally(&["10"], 20), tally(&["2"], 20)]);
        assert_eq!(counts(&seen), [("2", 20, Some(0.5)), ("10", 20, Some(0.5))]);
        assert_eq!(seen.mean, Some(6.0));
        assert_eq!(of(&q, &[tally(&["10"], 29)]).mean, None);
    }
}
