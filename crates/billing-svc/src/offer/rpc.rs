//! Offers over gRPC.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::offer_service_server::OfferService;
use tonic::{Request, Response, Status};

use super::eligibility::Wanted;
use super::model::State;
use super::ops::Offers;
use super::store::Filter;
use super::wire::{draft_from, draft_with, eligibility_to, kind_from, offer_to, state_from};
use crate::error::Error;
use crate::redemption::{Redemptions, redemption_from_state, redemption_to};

pub(crate) struct Rpc {
    pub offers: Offers,
    pub redemptions: Redemptions,
}

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl OfferService for Rpc {
    async fn list_offers(&self, request: Request<pb::ListOffersRequest>) -> Reply<pb::ListOffersResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListOffersRequest { limit, cursor, state, kind } = request.into_inner();
        let kind = match pb::OfferKind::try_from(kind) {
            Ok(pb::OfferKind::Unspecified) | Err(_) => None,
            Ok(kind) => match kind_from(kind) {
                Ok(kind) => Some(kind),
                // A kind nobody can create has no offers.
                Err(_) => return Ok(Response::new(pb::ListOffersResponse::default())),
            },
        };
        let filter = Filter { state: state_from(state), kind };
        let page = PageRequest::new(limit, cursor);
        let (page, used) = self.offers.list(&caller, &filter, &page).await.map_err(wrong)?;
        let now =
            self.redemptions.now(caller.scope().map_err(|f| kit::error::status(&f))?).await.map_err(wrong)?;
        let page = page.map(|o| {
            let used = used.get(&o.id);
            offer_to(o, used, now)
        });
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListOffersResponse { items: page.items, next_cursor }))
    }

    async fn create_offer(&self, request: Request<pb::CreateOfferRequest>) -> Reply<pb::Offer> {
        let caller = Caller::of(&request)?;
        let draft = draft_from(request.into_inner()).map_err(wrong)?;
        let stored = self.offers.create(&caller, draft).await.map_err(wrong)?;
        self.reply(stored).await
    }

    async fn get_offer(&self, request: Request<pb::GetOfferRequest>) -> Reply<pb::Offer> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let stored = self.offers.get(scope, &request.get_ref().id).await.map_err(wrong)?;
        self.reply(stored).await
    }

    async fn update_offer(&self, request: Request<pb::UpdateOfferRequest>) -> Reply<pb::Offer> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let (id, version) = (request.id.clone(), request.version);
        let change = |old: &super::model::Offer| draft_with(old, request);
        let stored = self.offers.update(&caller, &id, version, change).await.map_err(wrong)?;
        self.reply(stored).await
    }

    async fn activate_offer(&self, request: Request<pb::ActivateOfferRequest>) -> Reply<pb::Offer> {
        let caller = Caller::of(&request)?;
        self.set_state(&caller, &request.get_ref().id, State::Active).await
    }

    async fn pause_offer(&self, request: Request<pb::PauseOfferRequest>) -> Reply<pb::Offer> {
        let caller = Caller::of(&request)?;
        self.set_state(&caller, &request.get_ref().id, State::Paused).await
    }

    async fn archive_offer(&self, request: Request<pb::ArchiveOfferRequest>) -> Reply<pb::Offer> {
        let caller = Caller::of(&request)?;
        self.set_state(&caller, &request.get_ref().id, State::Archived).await
    }

    async fn check_eligibility(
        &self,
        request: Request<pb::CheckEligibilityRequest>,
    ) -> Reply<pb::OfferEligibility> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let pb::CheckEligibilityRequest { id, subscription_id, persona_ids } = request.get_ref();
        let (seen, _) = self.offers.check(scope, id, subscription_id, persona_ids).await.map_err(wrong)?;
        Ok(Response::new(eligibility_to(seen)))
    }

    async fn list_offer_redemptions(
        &self,
        request: Request<pb::ListOfferRedemptionsRequest>,
    ) -> Reply<pb::ListOfferRedemptionsResponse> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let pb::ListOfferRedemptionsRequest { id, limit, cursor, state } = request.into_inner();
        // Another company's offer is not found, rather than one without redemptions.
        self.offers.get(scope, &id).await.map_err(wrong)?;
        let page = PageRequest::new(limit, cursor);
        let state = redemption_from_state(state);
        let page = self.redemptions.of_offer(scope, &id, state, &page).await.map_err(wrong)?;
        let page = page.map(redemption_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListOfferRedemptionsResponse { items: page.items, next_cursor }))
    }

    async fn list_eligible_offers(
        &self,
        request: Request<pb::ListEligibleOffersRequest>,
    ) -> Reply<pb::ListEligibleOffersResponse> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let pb::ListEligibleOffersRequest {
            offer_ids,
            subscription_id,
            persona_ids,
            max_discount_percent,
            allowed_kinds,
        } = request.into_inner();
        let wanted = Wanted { max_discount_percent, kinds: allowed_kinds };
        let seen = self.offers.eligible(scope, offer_ids, &subscription_id, &persona_ids, &wanted).await;
        let items = seen.map_err(wrong)?.into_iter().map(eligibility_to).collect();
        Ok(Response::new(pb::ListEligibleOffersResponse { items }))
    }
}

impl Rpc {
    async fn set_state(&self, caller: &Caller, id: &str, to: State) -> Reply<pb::Offer> {
        let stored = self.offers.set_state(caller, id, to).await.map_err(wrong)?;
        self.reply(stored).await
    }

    async fn reply(&self, stored: store::Stored<super::model::Offer>) -> Reply<pb::Offer> {
        let used = self.offers.used(&stored.scope, &stored.id).await.map_err(wrong)?;
        let now = self.redemptions.now(&stored.scope).await.map_err(wrong)?;
        Ok(Response::new(offer_to(stored, Some(&used), now)))
    }
}
