//! Questions, choices, and what makes a questionnaire fit to be asked.

use std::collections::HashSet;

use kit::locale::LocalText;
use serde::{Deserialize, Serialize};

use crate::rule::Rule;
use crate::text::{Findings, TextCheck};
use crate::versioned::Content;

/// What a questionnaire is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionnaireKind {
    ExitSurvey,
    FollowUp,
    Feedback,
    Satisfaction,
    OnboardingIntake,
}

impl QuestionnaireKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExitSurvey => "exit_survey",
            Self::FollowUp => "follow_up",
            Self::Feedback => "feedback",
            Self::Satisfaction => "satisfaction",
            Self::OnboardingIntake => "onboarding_intake",
        }
    }
}

/// What kind of answer a question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionType {
    Single,
    Multi,
    Text,
    Scale,
    Date,
}

/// Something a customer can choose. Its key never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub key: String,
    pub label: LocalText,
    /// What reasons are counted under; none where the choice is no reason.
    pub reason_category: Option<String>,
    pub show_if: Option<Rule>,
}

/// One question. Its key never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub key: String,
    pub kind: QuestionType,
    pub text: LocalText,
    pub help: Option<LocalText>,
    pub choices: Vec<Choice>,
    pub shuffle: bool,
    pub required: bool,
    pub min_length: u32,
    pub scale_min: i32,
    pub scale_max: i32,
    pub show_if: Option<Rule>,
}

impl Question {
    /// The choice of this key.
    pub fn choice(&self, key: &str) -> Option<&Choice> {
        self.choices.iter().find(|c| c.key == key)
    }
}

/// What is frozen when a questionnaire is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionnaireContent {
    pub kind: QuestionnaireKind,
    pub title: LocalText,
    pub questions: Vec<Question>,
    pub locales: Vec<String>,
}

impl Content for QuestionnaireContent {
    type Head = ();
    const NOUN: &'static str = "questionnaire";
    const PREFIX: &'static str = "qst";
    const COLLECTION: &'static str = "questionnaires";
    const VERSIONS: &'static str = "questionnaire_versions";

    fn facet(&self) -> &'static str {
        self.kind.as_str()
    }
}

impl QuestionnaireContent {
    /// The question of this key.
    pub fn question(&self, key: &str) -> Option<&Question> {
        self.questions.iter().find(|q| q.key == key)
    }

    /// Everything that stops publishing, and what a person should know.
    pub fn check(&self) -> Findings {
        let mut texts = TextCheck::new(&self.locales, &[]);
        texts.text("title", &self.title);
        let mut found = Findings::default();
        if self.questions.is_empty() {
            found.error("no_questions", "questions", "a questionnaire asks at least one question");
        }
        let mut earlier = HashSet::new();
        for q in &self.questions {
            let field = format!("questions[{}]", q.key);
            texts.text(&format!("{field}.text"), &q.text);
            if let Some(help) = &q.help {
                texts.text(&format!("{field}.help"), help);
            }
            for c in &q.choices {
                texts.text(&format!("{field}.choices[{}].label", c.key), &c.label);
            }
            q.check(&field, &earlier, &mut found);
            if !earlier.insert(q.key.as_str()) {
                found.error("duplicate_key", &field, format!("two questions have the key {}", q.key));
            }
        }
        found.extend(texts.findings);
        found
    }
}

impl Question {
    fn check(&self, field: &str, earlier: &HashSet<&str>, found: &mut Findings) {
        let chosen = matches!(self.kind, QuestionType::Single | QuestionType::Multi);
        if chosen && self.choices.len() < 2 {
            found.error("too_few_choices", field, "a question to choose from has at least two choices");
        }
        if !chosen && !self.choices.is_empty() {
            found.error("choices_not_allowed", field, "only single and multi have choices");
        }
        if self.kind == QuestionType::Scale && self.scale_min >= self.scale_max {
            found.error("empty_scale", field, "scale_min must be below scale_max");
        }
        let mut keys = HashSet::new();
        for c in &self.choices {
            if !keys.insert(c.key.as_str()) {
                found.error("duplicate_key", field, format!("two choices have the key {}", c.key));
            }
        }
        if chosen && self.required && self.choices.iter().all(|c| c.show_if.is_some()) {
            found.error("no_choice_left", field, "a required question has a choice that is always shown");
        }
        let shown_if = self.choices.iter().filter_map(|c| c.show_if.as_ref()).chain(&self.show_if);
        for asked in shown_if.flat_map(Rule::questions) {
            if !earlier.contains(asked) {
                let message = format!("it looks at {asked}, which is not an earlier question");
                found.error("not_an_earlier_question", field, message);
            }
        }
    }
}
