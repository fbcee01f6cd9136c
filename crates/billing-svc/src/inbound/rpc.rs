//! Received events over gRPC.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::inbound_service_server::InboundService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Event, State};
use super::ops::{Call, Inbound};
use super::store::Filter;
use crate::error::Error;
use crate::providers::ProviderKind;

pub(crate) struct Rpc(pub Inbound);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl InboundService for Rpc {
    async fn receive_inbound(
        &self,
        request: Request<pb::ReceiveInboundRequest>,
    ) -> Reply<pb::ReceiveInboundResponse> {
        let pb::ReceiveInboundRequest { provider, company_key, body, headers, received_at: _ } =
            request.into_inner();
        let call = Call { provider, company_key, headers: headers.into_iter().collect(), body };
        let (event_id, duplicate) = self.0.receive(&call).await.map_err(wrong)?;
        Ok(Response::new(pb::ReceiveInboundResponse { event_id, duplicate }))
    }

    async fn list_inbound_events(
        &self,
        request: Request<pb::ListInboundEventsRequest>,
    ) -> Reply<pb::ListInboundEventsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListInboundEventsRequest { limit, cursor, state, provider, r#type, since, until } =
            request.into_inner();
        let filter = Filter {
            states: states(&[state]),
            provider: known(&provider)?,
            name: Some(r#type).filter(|t| !t.is_empty()),
            since: since.as_ref().and_then(kit::time::from_proto),
            until: until.as_ref().and_then(kit::time::from_proto),
        };
        let page = self.0.list(&caller, &filter, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let page = page.map(event_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListInboundEventsResponse { items: page.items, next_cursor }))
    }

    async fn replay_inbound_event(
        &self,
        request: Request<pb::ReplayInboundEventRequest>,
    ) -> Reply<pb::InboundEvent> {
        let caller = Caller::of(&request)?;
        let stored = self.0.replay(&caller, &request.get_ref().id).await.map_err(wrong)?;
        Ok(Response::new(event_to(stored)))
    }

    async fn replay_inbound_events(
        &self,
        request: Request<pb::ReplayInboundEventsRequest>,
    ) -> Reply<pb::ReplayInboundEventsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ReplayInboundEventsRequest { provider, since, until, states: asked } = request.into_inner();
        let asked = states(&asked);
        let filter = Filter {
            states: if asked.is_empty() { vec![State::Dead] } else { asked },
            provider: known(&provider)?,
            name: None,
            since: since.as_ref().and_then(kit::time::from_proto),
            until: until.as_ref().and_then(kit::time::from_proto),
        };
        let (replayed, more) = self.0.replay_span(&caller, &filter).await.map_err(wrong)?;
        Ok(Response::new(pb::ReplayInboundEventsResponse { replayed, more }))
    }
}

/// A provider by name; none where none is said.
fn known(name: &str) -> Result<Option<ProviderKind>, Status> {
    if name.is_empty() {
        return Ok(None);
    }
    let missing = || kit::error::status(&kit::Fault::not_found("billing provider"));
    ProviderKind::parse(name).map(Some).ok_or_else(missing)
}

fn states(asked: &[i32]) -> Vec<State> {
    State::ALL.into_iter().filter(|s| asked.contains(&i32::from(state_to(*s)))).collect()
}

fn event_to(stored: Stored<Event>) -> pb::InboundEvent {
    let subject = stored.body.subject().to_owned();
    let Stored { id, body, .. } = stored;
    let Event {
        provider,
        external_id,
        name,
        about: _,
        subscription: _,
        customer: _,
        provider_version: _,
        state,
        attempts,
        error,
        occurred_at,
        received_at,
        processed_at,
        due_at: _,
        headers: _,
        raw: _,
        amount: _,
        invoice: _,
        payment: _,
        odd_version: _,
        fetched,
    } = body;
    pb::InboundEvent {
        id,
        provider: provider.as_str().into(),
        external_id,
        r#type: name,
        state: state_to(state).into(),
        subject,
        attempts,
        error,
        occurred_at: Some(kit::time::to_proto(occurred_at)),
        received_at: Some(kit::time::to_proto(received_at)),
        processed_at: processed_at.map(kit::time::to_proto),
        fetched,
    }
}

fn state_to(state: State) -> pb::InboundState {
    match state {
        State::Received => pb::InboundState::Received,
        State::Processed => pb::InboundState::Processed,
        State::Ignored => pb::InboundState::Ignored,
        State::Failed => pb::InboundState::Failed,
        State::Dead => pb::InboundState::Dead,
    }
}
