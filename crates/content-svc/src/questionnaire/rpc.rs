//! Questionnaires' face on the wire.

use kit::time::to_proto;
use kit::{Caller, Fault, PageRequest};
use proto::content as pb;
use proto::content::questionnaire_service_server::{QuestionnaireService, QuestionnaireServiceServer};
use tonic::Request;

use super::model::{Choice, Question, QuestionType, QuestionnaireContent, QuestionnaireKind};
use super::ops::Questionnaires;
use crate::error::Error;
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

    async fn list_questionnaire_versions(
        &self,
        request: Request<pb::ContentIdRequest>,
    ) -> Reply<pb::ReleaseList> {
        versions::list(&self.0.objects, request).await
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
