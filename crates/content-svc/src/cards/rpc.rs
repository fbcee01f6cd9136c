//! Cards' face on the wire.

use kit::time::to_proto;
use kit::{Caller, Fault, PageRequest};
use proto::content as pb;
use proto::content::card_service_server::{CardService, CardServiceServer};
use tonic::Request;

use super::model::{CardAccess, CardContent, CardHead, CardKind};
use super::ops::Cards;
use crate::card_elements::convert::element;
use crate::error::Error;
use crate::text::rpc::{findings, locales, variables};
use crate::versioned::{Filter, Object, View, rpc as versions};
use crate::wire::{Reply, Wire, enum_of, enum_or, mirror, names, reply, some};

mirror!(CardKind => pb::CardKind { Value, Offer, Survey, Feedback, Contact, Confirm });
mirror!(CardAccess => pb::CardAccess { Private, Company, Library });

/// The room's gRPC service.
pub fn service(room: Cards) -> CardServiceServer<Rpc> {
    CardServiceServer::new(Rpc(room))
}

/// The room behind its gRPC service.
pub struct Rpc(pub Cards);

#[tonic::async_trait]
impl CardService for Rpc {
    async fn list_cards(&self, request: Request<pb::ListCardsRequest>) -> Reply<pb::ListCardsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCardsRequest { limit, cursor, kind, tag, archived } = request.into_inner();
        let facet = CardKind::of_wire(kind).map(CardKind::as_str);
        let filter = Filter { archived, facet, holding: some(tag).map(|t| ("body.head.tags", t)) };
        let page = self.0.objects.list(&caller, filter, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListCardsResponse {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_card(&self, request: Request<pb::CreateCardRequest>) -> Reply<pb::Card> {
        let caller = Caller::of(&request)?;
        let pb::CreateCardRequest { name, access, tags, content: given } = request.into_inner();
        let head = CardHead { access: enum_or(access, CardAccess::Company), tags };
        let made = async {
            let content = self.0.admitted(&caller, content(given)?)?;
            self.0.objects.create(&caller, name, head, content).await
        };
        reply(made.await.map(Into::into))
    }

    async fn get_card(&self, request: Request<pb::GetContentRequest>) -> Reply<pb::Card> {
        versions::get(&self.0.objects, request).await
    }

    async fn update_card(&self, request: Request<pb::UpdateCardRequest>) -> Reply<pb::Card> {
        let caller = Caller::of(&request)?;
        let pb::UpdateCardRequest { id, version, name, access, tags, content: given, update_mask } =
            request.into_inner();
        let changed = async {
            let given = match given {
                Some(given) => Some(self.0.admitted(&caller, content(Some(given))?)?),
                None => None,
            };
            let change = |object: &mut Object<CardHead, CardContent>| {
                object.name = name.unwrap_or(std::mem::take(&mut object.name));
                object.head.access = access.and_then(CardAccess::of_wire).unwrap_or(object.head.access);
                if names(update_mask.as_ref(), "tags") {
                    object.head.tags = tags;
                }
                given.map_or(Ok(()), |content| object.edit(content))
            };
            self.0.objects.edit(&caller, &id, version, change).await
        };
        reply(changed.await.map(Into::into))
    }

    async fn publish_card(&self, request: Request<pb::PublishContentRequest>) -> Reply<pb::Card> {
        let caller = Caller::of(&request)?;
        let pb::PublishContentRequest { id, version, note } = request.into_inner();
        reply(self.0.publish(&caller, &id, version, note).await.map(Into::into))
    }

    async fn rollback_card(&self, request: Request<pb::RollbackContentRequest>) -> Reply<pb::Card> {
        let caller = Caller::of(&request)?;
        let pb::RollbackContentRequest { id, version, number, note } = request.into_inner();
        reply(self.0.rollback(&caller, &id, version, number, note).await.map(Into::into))
    }

    async fn archive_card(&self, request: Request<pb::ArchiveContentRequest>) -> Reply<pb::Card> {
        versions::archive(&self.0.objects, request).await
    }

    async fn duplicate_card(&self, request: Request<pb::DuplicateContentRequest>) -> Reply<pb::Card> {
        let caller = Caller::of(&request)?;
        let pb::DuplicateContentRequest { id, name } = request.into_inner();
        reply(self.0.objects.duplicate(&caller, &id, name, |head| head).await.map(Into::into))
    }

    async fn list_card_versions(&self, request: Request<pb::ContentIdRequest>) -> Reply<pb::ReleaseList> {
        versions::list(&self.0.objects, request).await
    }
}

fn content(given: Option<pb::CardContent>) -> Result<CardContent, Error> {
    let given = given.ok_or_else(|| Fault::field("content", "required", "the content is required"))?;
    let pb::CardContent {
        kind,
        elements,
        persona_ids,
        offer_id,
        questionnaire_id,
        variables: declared,
        locales: languages,
    } = given;
    let elements = elements.into_iter().enumerate();
    Ok(CardContent {
        kind: enum_of("content.kind", kind)?,
        elements: elements
            .map(|(i, e)| element(&format!("content.elements[{i}]"), e))
            .collect::<Result<_, Fault>>()?,
        persona_ids,
        offer_id: some(offer_id),
        questionnaire_id: some(questionnaire_id),
        variables: variables("content.variables", declared)?,
        locales: locales("content.locales", languages)?,
    })
}

impl From<View<CardContent>> for pb::Card {
    fn from(view: View<CardContent>) -> Self {
        let View {
            id,
            name,
            head: CardHead { access, tags },
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
            access: access.to_wire(),
            tags,
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

impl From<CardContent> for pb::CardContent {
    fn from(content: CardContent) -> Self {
        let CardContent { kind, elements, persona_ids, offer_id, questionnaire_id, variables, locales } =
            content;
        Self {
            kind: kind.to_wire(),
            elements: elements.into_iter().map(Into::into).collect(),
            persona_ids,
            offer_id: offer_id.unwrap_or_default(),
            questionnaire_id: questionnaire_id.unwrap_or_default(),
            variables: variables.into_iter().map(Into::into).collect(),
            locales,
        }
    }
}
