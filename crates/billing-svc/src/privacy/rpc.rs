//! Privacy requests over gRPC.

use kit::{Caller, PageRequest, Timestamp};
use personal::{Done, Held};
use proto::billing as pb;
use proto::billing::privacy_service_server::PrivacyService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{self, Kind, Receipt, State};
use super::ops::{Asked, PrivacyRequests};
use super::store::Filter;
use crate::error::Error;

pub(crate) struct Rpc(pub PrivacyRequests);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

impl Rpc {
    fn answer(&self, stored: Stored<model::Request>) -> Response<pb::PrivacyRequest> {
        Response::new(request_to(stored, self.0.now()))
    }
}

#[tonic::async_trait]
impl PrivacyService for Rpc {
    async fn create_privacy_request(
        &self,
        request: Request<pb::CreatePrivacyRequestRequest>,
    ) -> Reply<pb::PrivacyRequest> {
        let caller = Caller::of(&request)?;
        let kind = match request.get_ref().kind() {
            pb::PrivacyKind::Access => Kind::Access,
            pb::PrivacyKind::Erasure => Kind::Erasure,
            pb::PrivacyKind::Restriction => Kind::Restriction,
            pb::PrivacyKind::Unspecified => {
                return Err(wrong(Error::field("kind", "required", "say what is asked for")));
            }
        };
        let pb::CreatePrivacyRequestRequest { kind: _, customer, verification, note } = request.into_inner();
        let asked = Asked { kind, customer, verification: verification.trim().to_owned(), note };
        Ok(self.answer(self.0.create(&caller, &asked).await.map_err(wrong)?))
    }

    async fn list_privacy_requests(
        &self,
        request: Request<pb::ListPrivacyRequestsRequest>,
    ) -> Reply<pb::ListPrivacyRequestsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListPrivacyRequestsRequest { limit, cursor, state, customer_id } = request.into_inner();
        let state = State::ALL.into_iter().find(|s| i32::from(state_to(*s)) == state);
        let filter = Filter { state, customer_id: Some(customer_id).filter(|c| !c.is_empty()) };
        let page = self.0.list(&caller, &filter, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let now = self.0.now();
        let page = page.map(|r| request_to(r, now));
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListPrivacyRequestsResponse { items: page.items, next_cursor }))
    }

    async fn get_privacy_request(
        &self,
        request: Request<pb::GetPrivacyRequestRequest>,
    ) -> Reply<pb::PrivacyRequest> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        Ok(self.answer(self.0.get(scope, &request.get_ref().id).await.map_err(wrong)?))
    }

    async fn verify_privacy_request(
        &self,
        request: Request<pb::VerifyPrivacyRequestRequest>,
    ) -> Reply<pb::PrivacyRequest> {
        let caller = Caller::of(&request)?;
        let pb::VerifyPrivacyRequestRequest { id, verification } = request.into_inner();
        Ok(self.answer(self.0.verify(&caller, &id, &verification).await.map_err(wrong)?))
    }

    async fn refuse_privacy_request(
        &self,
        request: Request<pb::RefusePrivacyRequestRequest>,
    ) -> Reply<pb::PrivacyRequest> {
        let caller = Caller::of(&request)?;
        let pb::RefusePrivacyRequestRequest { id, reason } = request.into_inner();
        Ok(self.answer(self.0.refuse(&caller, &id, &reason).await.map_err(wrong)?))
    }

    async fn lift_restriction(
        &self,
        request: Request<pb::LiftRestrictionRequest>,
    ) -> Reply<pb::PrivacyRequest> {
        let caller = Caller::of(&request)?;
        Ok(self.answer(self.0.lift(&caller, &request.get_ref().id).await.map_err(wrong)?))
    }

    async fn open_privacy_file(
        &self,
        request: Request<pb::GetPrivacyRequestRequest>,
    ) -> Reply<pb::PrivacyFile> {
        let caller = Caller::of(&request)?;
        let request_id = request.into_inner().id;
        let whose = self.0.open_file(&caller, &request_id).await.map_err(wrong)?;
        let personal::Whose { customers, external } = whose;
        Ok(Response::new(pb::PrivacyFile { request_id, customer_ids: customers, external_ids: external }))
    }
}

fn request_to(stored: Stored<model::Request>, now: Timestamp) -> pb::PrivacyRequest {
    let Stored { id, version, body, .. } = stored;
    let (held_until, file_until, has_file) = (body.held_until(), body.file_until(), body.has_file(now));
    let missing = body.round.as_ref().map(|r| r.missing()).unwrap_or_default();
    let at = |t: Option<Timestamp>| t.map(kit::time::to_proto);
    let model::Request {
        kind,
        customer_id,
        state,
        place: _,
        asked_by: _,
        verification,
        verified_by,
        verified_at,
        note,
        reason,
        received_at,
        due_at,
        completed_at,
        round,
        lifted_at,
    } = body;
    let receipts = round.map(|r| r.receipts).unwrap_or_default();
    pb::PrivacyRequest {
        file: if has_file { format!("/v1/privacy/requests/{id}/file") } else { String::new() },
        id,
        kind: kind_to(kind).into(),
        state: state_to(state).into(),
        customer_id,
        verification,
        verified_by,
        verified_at: at(verified_at),
        note,
        reason,
        received_at: at(Some(received_at)),
        due_at: at(Some(due_at)),
        completed_at: at(completed_at),
        receipts: receipts.into_iter().map(receipt_to).collect(),
        missing: missing.into_iter().map(ToOwned::to_owned).collect(),
        held_until: at(held_until),
        file_until: at(file_until),
        lifted_at: at(lifted_at),
        version,
    }
}

fn receipt_to((service, receipt): (String, Receipt)) -> pb::PrivacyServiceReceipt {
    let Receipt { answered_at, sequence: _, part } = receipt;
    let whole = |n: i64| u64::try_from(n).unwrap_or(0);
    let done = part.done.into_iter().map(|Done { what, how, count, why }| pb::PrivacyCount {
        what,
        how: how.as_str().into(),
        count: whole(count),
        why,
    });
    let held = part.held.into_iter().map(|Held { what, count, why, until }| pb::PrivacyHeld {
        what,
        count: whole(count),
        why,
        until: Some(kit::time::to_proto(until)),
    });
    pb::PrivacyServiceReceipt {
        service,
        answered_at: Some(kit::time::to_proto(answered_at)),
        done: done.collect(),
        held: held.collect(),
    }
}

fn kind_to(kind: Kind) -> pb::PrivacyKind {
    match kind {
        Kind::Access => pb::PrivacyKind::Access,
        Kind::Erasure => pb::PrivacyKind::Erasure,
        Kind::Restriction => pb::PrivacyKind::Restriction,
    }
}

fn state_to(state: State) -> pb::PrivacyState {
    match state {
        State::Received => pb::PrivacyState::Received,
        State::Verified => pb::PrivacyState::Verified,
        State::Running => pb::PrivacyState::Running,
        State::PartlyHeld => pb::PrivacyState::PartlyHeld,
        State::Completed => pb::PrivacyState::Completed,
        State::Refused => pb::PrivacyState::Refused,
    }
}
