//! Questionnaires' face on the wire.

use kit::time::{from_proto, to_proto};
use kit::{Caller, Fault, PageRequest};
use proto::content as pb;
use proto::content::questionnaire_service_server::{QuestionnaireService, QuestionnaireServiceServer};
use tonic::Request;

use super::model::{Choice, Question, QuestionType, QuestionnaireContent, QuestionnaireKind};
use super::ops::Questionnaires;
use super::responses::Response;
use super::store::Asked;
use super::summary::{Answers, Count, Summary};
use crate::error::Error;
use crate::flow_session::{answer_to_wire, answers_among};
use crate::rule::rpc::maybe_rule;
use crate::text::rpc::{findings, locales, maybe_text, text, to_text};
use crate::versioned::{Filter, View, rpc as versions};
use crate::wire::{Reply, Wire, enum_of, mirror, reply, some};

mirror!(QuestionnaireKind => pb::QuestionnaireKind { ExitSurvey, FollowUp, Feedback, Satisfaction, OnboardingIntake });
mirror!(QuestionType => pb::QuestionType { Single, Multi, Text, Scale, Date });

/// The room's gRPC service.
pub fn service(room: Questionnaires) -> QuestionnaireServiceServer<Rpc> {
    QuestionnaireServiceServer::new(Rpc(room))
}

/// The room behind its gRPC service.
pub struct Rpc(pub Questionnaires);

#[tonic::async_trait]
impl QuestionnaireService for Rpc {
    async fn list_questionnaires(
        &self,
        request: Request<pb::ListQuestionnairesRequest>,
    ) -> Reply<pb::ListQuestionnairesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListQuestionnairesRequest { limit, cursor, kind, archived } = request.into_inner();
        let facet = QuestionnaireKind::of_wire(kind).map(QuestionnaireKind::as_str);
        let filter = Filter { archived, facet, holding: None };
        let page = self.0.objects.list(&caller, filter, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListQuestionnairesResponse {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_questionnaire(
        &self,
        request: Request<pb::CreateQuestionnaireRequest>,
    ) -> Reply<pb::Questionnaire> {
        let caller = Caller::of(&request)?;
        let pb::CreateQuestionnaireRequest { name, content: given } = request.into_inner();
        let made = async { self.0.objects.create(&caller, name, (), content(given)?).await };
        reply(made.await.map(Into::into))
    }

    async fn get_questionnaire(&self, request: Request<pb::GetContentRequest>) -> Reply<pb::Questionnaire> {
        versions::get(&self.0.objects, request).await
    }

    async fn update_questionnaire(
        &self,
        request: Request<pb::UpdateQuestionnaireRequest>,
    ) -> Reply<pb::Questionnaire> {
        let caller = Caller::of(&request)?;
        let pb::UpdateQuestionnaireRequest { id, version, name, content: given, update_mask: _ } =
            request.into_inner();
        let changed = async {
            let given = given.map(|c| content(Some(c))).transpose()?;
            let change = |object: &mut crate::versioned::Object<(), QuestionnaireContent>| {
                object.name = name.unwrap_or(std::mem::take(&mut object.name));
                given.map_or(Ok(()), |content| object.edit(content))
            };
            self.0.objects.edit(&caller, &id, version, change).await
        };
        reply(changed.await.map(Into::into))
    }

    async fn publish_questionnaire(
        &self,
        request: Request<pb::PublishContentRequest>,
    ) -> Reply<pb::Questionnaire> {
        let caller = Caller::of(&request)?;
        let pb::PublishContentRequest { id, version, note } = request.into_inner();
        reply(self.0.publish(&caller, &id, version, note).await.map(Into::into))
    }

    async fn rollback_questionnaire(
        &self,
        request: Request<pb::RollbackContentRequest>,
    ) -> Reply<pb::Questionnaire> {
        versions::rollback(&self.0.objects, request).await
    }

    async fn archive_questionnaire(
        &self,
        request: Request<pb::ArchiveContentRequest>,
    ) -> Reply<pb::Questionnaire> {
        versions::archive(&self.0.objects, request).await
    }

    async fn answer_questionnaire(
        &self,
        request: Request<pb::AnswerQuestionnaireRequest>,
    ) -> Reply<pb::QuestionnaireResponse> {
        let caller = Caller::of(&request)?;
        let pb::AnswerQuestionnaireRequest { id, answers } = request.into_inner();
        let read = |asked: &[&QuestionnaireContent]| answers_among(asked, answers);
        let taken = self.0.responses.answer(&self.0.objects, &caller, &id, read).await;
        reply(taken.map(|taken| response(&id, taken, caller.sees_personal_data())))
    }

    async fn list_questionnaire_responses(
        &self,
        request: Request<pb::ListQuestionnaireResponsesRequest>,
    ) -> Reply<pb::ListQuestionnaireResponsesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListQuestionnaireResponsesRequest { id, limit, cursor, question, since, until } =
            request.into_inner();
        let (since, until) = (since.as_ref().and_then(from_proto), until.as_ref().and_then(from_proto));
        let asked = Asked { question: some(question), since, until };
        let page = PageRequest::new(limit, cursor);
        let page = self.0.responses.list(&self.0.objects, &caller, &id, &asked, &page).await;
        let personal = caller.sees_personal_data();
        reply(page.map(|page| pb::ListQuestionnaireResponsesResponse {
            items: page.items.into_iter().map(|r| response(&id, r, personal)).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn summarize_questionnaire(
        &self,
        request: Request<pb::SummarizeQuestionnaireRequest>,
    ) -> Reply<pb::QuestionnaireSummary> {
        let caller = Caller::of(&request)?;
        let pb::SummarizeQuestionnaireRequest { id, since, until } = request.into_inner();
        let (since, until) = (since.as_ref().and_then(from_proto), until.as_ref().and_then(from_proto));
        let asked = Asked { question: None, since, until };
        let counted = self.0.responses.summary(&self.0.objects, &caller, &id, &asked).await;
        reply(counted.map(|Summary { responses, complete, questions }| pb::QuestionnaireSummary {
            questionnaire_id: id,
            responses,
            complete,
            questions: questions.into_iter().map(Into::into).collect(),
        }))
    }

    async fn list_questionnaire_versions(
        &self,
        request: Request<pb::ContentIdRequest>,
    ) -> Reply<pb::ReleaseList> {
        versions::list(&self.0.objects, request).await
    }
}

/// What somebody answered; `personal` says whether free words are shown.
fn response(questionnaire_id: &str, response: Response, personal: bool) -> pb::QuestionnaireResponse {
    let Response { id, number, customer_id, answers, complete, started_at, answered_at } = response;
    pb::QuestionnaireResponse {
        id,
        questionnaire_id: questionnaire_id.to_owned(),
        number,
        customer_id: customer_id.unwrap_or_default(),
        answers: answers.into_iter().map(|(q, a)| answer_to_wire(q, a, personal)).collect(),
        complete,
        started_at: Some(to_proto(started_at)),
        answered_at: Some(to_proto(answered_at)),
    }
}

impl From<Answers> for pb::QuestionSummary {
    fn from(answers: Answers) -> Self {
        let Answers { key, kind, text, answered, counts, mean } = answers;
        let counts = counts.into_iter().map(|Count { key, label, reason_category, count, share }| {
            let reason_category = reason_category.unwrap_or_default();
            pb::AnswerCount { key, label, reason_category, count, share }
        });
        Self { key, r#type: kind.to_wire(), text, answered, counts: counts.collect(), mean }
    }
}

fn content(given: Option<pb::QuestionnaireContent>) -> Result<QuestionnaireContent, Error> {
    let given = given.ok_or_else(|| Fault::field("content", "required", "the content is required"))?;
    let pb::QuestionnaireContent { kind, title, questions, locales: languages } = given;
    let questions = questions.into_iter().enumerate();
    Ok(QuestionnaireContent {
        kind: enum_of("content.kind", kind)?,
        title: text("content.title", title)?,
        questions: questions
            .map(|(i, q)| question(&format!("content.questions[{i}]"), q))
            .collect::<Result<_, Fault>>()?,
        locales: locales("content.locales", languages)?,
    })
}

fn question(field: &str, given: pb::Question) -> Result<Question, Fault> {
    let pb::Question {
        key,
        r#type,
        text: words,
        help,
        choices,
        shuffle,
        required,
        min_length,
        scale_min,
        scale_max,
        show_if,
    } = given;
    let choices = choices.into_iter().enumerate();
    Ok(Question {
        key,
        kind: enum_of(&format!("{field}.type"), r#type)?,
        text: text(&format!("{field}.text"), words)?,
        help: maybe_text(&format!("{field}.help"), help)?,
        choices: choices
            .map(|(i, c)| choice(&format!("{field}.choices[{i}]"), c))
            .collect::<Result<_, Fault>>()?,
        shuffle,
        required,
        min_length,
        scale_min,
        scale_max,
        show_if: maybe_rule(&format!("{field}.show_if"), show_if)?,
    })
}

fn choice(field: &str, given: pb::Choice) -> Result<Choice, Fault> {
    let pb::Choice { key, label, reason_category, show_if } = given;
    Ok(Choice {
        key,
        label: text(&format!("{field}.label"), label)?,
        reason_category: some(reason_category),
        show_if: maybe_rule(&format!("{field}.show_if"), show_if)?,
    })
}

impl From<View<QuestionnaireContent>> for pb::Questionnaire {
    fn from(view: View<QuestionnaireContent>) -> Self {
        let View {
            id,
            name,
            head: (),
            state,
            content,
            pins: _,
            release,
            warnings,
            created_at,
            updated_at,
            version,
        } = view;
        Self {
            id,
            name,
            state: state.to_wire(),
            content: content.map(Into::into),
            published: release.map(versions::in_use),
            warnings: findings(warnings),
            created_at: Some(to_proto(created_at)),
            updated_at: Some(to_proto(updated_at)),
            version,
        }
    }
}

impl From<QuestionnaireContent> for pb::QuestionnaireContent {
    fn from(content: QuestionnaireContent) -> Self {
        let QuestionnaireContent { kind, title, questions, locales } = content;
        Self {
            kind: kind.to_wire(),
            title: Some(to_text(title)),
            questions: questions.into_iter().map(Into::into).collect(),
            locales,
        }
    }
}

impl From<Question> for pb::Question {
    fn from(question: Question) -> Self {
        let Question {
            key,
            kind,
            text,
            help,
            choices,
            shuffle,
            required,
            min_length,
            scale_min,
            scale_max,
            show_if,
        } = question;
        Self {
            key,
            r#type: kind.to_wire(),
            text: Some(to_text(text)),
            help: help.map(to_text),
            choices: choices.into_iter().map(Into::into).collect(),
            shuffle,
            required,
            min_length,
            scale_min,
            scale_max,
            show_if: show_if.map(Into::into),
        }
    }
}

impl From<Choice> for pb::Choice {
    fn from(choice: Choice) -> Self {
        let Choice { key, label, reason_category, show_if } = choice;
        Self {
            key,
            label: Some(to_text(label)),
            reason_category: reason_category.unwrap_or_default(),
            show_if: show_if.map(Into::into),
        }
    }
}
