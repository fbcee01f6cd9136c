//! Card elements' face on the wire.

use kit::time::to_proto;
use kit::{Caller, Fault, PageRequest, Scope};
use proto::content as pb;
use proto::content::card_element_service_server::{CardElementService, CardElementServiceServer};
use store::Stored;
use tonic::Request;

use super::convert::element;
use super::model::CardElement;
use super::ops::CardElements;
use crate::cards::Cards;
use crate::wire::{Reply, reply};

/// The room's gRPC service; `cards` say where a piece is used.
pub fn service(room: CardElements, cards: Cards) -> CardElementServiceServer<Rpc> {
    CardElementServiceServer::new(Rpc { room, cards })
}

/// The room behind its gRPC service.
pub struct Rpc {
    pub room: CardElements,
    pub cards: Cards,
}

#[tonic::async_trait]
impl CardElementService for Rpc {
    async fn list_card_elements(
        &self,
        request: Request<pb::ListCardElementsRequest>,
    ) -> Reply<pb::ListCardElementsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCardElementsRequest { limit, cursor, library, archived } = request.into_inner();
        let page = self.room.list(&caller, library, archived, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListCardElementsResponse {
            items: page.items.into_iter().map(to_element).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_card_element(
        &self,
        request: Request<pb::CreateCardElementRequest>,
    ) -> Reply<pb::CardElement> {
        let caller = Caller::of(&request)?;
        let pb::CreateCardElementRequest { name, element: given, is_library } = request.into_inner();
        let made = async {
            let given =
                given.ok_or_else(|| Fault::field("element", "required", "the element is required"))?;
            self.room.create(&caller, name, element("element", given)?, is_library).await
        };
        reply(made.await.map(to_element))
    }

    async fn get_card_element(&self, request: Request<pb::GetCardElementRequest>) -> Reply<pb::CardElement> {
        let caller = Caller::of(&request)?;
        reply(self.room.get(&caller, &request.into_inner().id).await.map(to_element))
    }

    async fn update_card_element(
        &self,
        request: Request<pb::UpdateCardElementRequest>,
    ) -> Reply<pb::CardElement> {
        let caller = Caller::of(&request)?;
        let pb::UpdateCardElementRequest { id, version, name, element: given, update_mask: _ } =
            request.into_inner();
        let changed = async {
            let given = given.map(|e| element("element", e)).transpose()?;
            self.room.edit(&caller, &id, version, name, given).await
        };
        reply(changed.await.map(to_element))
    }

    async fn delete_card_element(
        &self,
        request: Request<pb::GetCardElementRequest>,
    ) -> Reply<pb::CardElement> {
        let caller = Caller::of(&request)?;
        reply(self.room.archive(&caller, &request.into_inner().id).await.map(to_element))
    }

    async fn duplicate_card_element(
        &self,
        request: Request<pb::DuplicateCardElementRequest>,
    ) -> Reply<pb::CardElement> {
        let caller = Caller::of(&request)?;
        let pb::DuplicateCardElementRequest { id, name } = request.into_inner();
        reply(self.room.duplicate(&caller, &id, name).await.map(to_element))
    }

    async fn get_card_element_usage(
        &self,
        request: Request<pb::GetCardElementRequest>,
    ) -> Reply<pb::CardElementUsage> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let found = async {
            self.room.get(&caller, &id).await?;
            self.cards.holding_element(&caller, &id).await
        };
        reply(found.await.map(|cards| pb::CardElementUsage {
            cards: cards.into_iter().map(|(card_id, name)| pb::CardUse { card_id, name }).collect(),
        }))
    }
}

fn to_element(stored: Stored<CardElement>) -> pb::CardElement {
    let Stored { id, scope, version, created_at, updated_at, body } = stored;
    let CardElement { name, element, archived } = body;
    pb::CardElement {
        id,
        name,
        element: Some(element.into()),
        is_library: scope == Scope::platform(),
        archived,
        created_at: Some(to_proto(created_at)),
        updated_at: Some(to_proto(updated_at)),
        version,
    }
}
