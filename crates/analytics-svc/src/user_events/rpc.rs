//! The gRPC face of events.

use proto::analytics as pb;
use tonic::{Request, Response, Status};

use super::model::{Event, NewEvent, Outcome};
use super::ops::UserEvents;
use super::properties;
use super::store::Filter;
use crate::facts::Customers;

pub struct Rpc {
    pub events: UserEvents,
    pub customers: Customers,
}

#[tonic::async_trait]
impl pb::user_events_service_server::UserEventsService for Rpc {
    async fn record_events(
        &self,
        request: Request<pb::RecordEventsRequest>,
    ) -> Result<Response<pb::RecordEventsResponse>, Status> {
        let caller = kit::Caller::of(&request)?;
        let scope = caller.scope().map_err(|e| kit::error::status(&e))?;
        let batch = request.into_inner().events.into_iter().map(NewEvent::from).collect();
        let outcomes = self.events.record(scope, batch).await.map_err(|e| kit::error::status(&e))?;
        Ok(Response::new(pb::RecordEventsResponse { items: outcomes.into_iter().map(Into::into).collect() }))
    }

    async fn list_events(
        &self,
        request: Request<pb::ListEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let caller = kit::Caller::of(&request)?;
        let pb::ListEventsRequest { limit, cursor, name, customer, from, to } = request.into_inner();
        let at = |t: Option<prost_types::Timestamp>| t.as_ref().and_then(kit::time::from_proto);
        let filter = Filter {
            name: Some(name).filter(|n| !n.is_empty()),
            customers: Vec::new(),
            from: at(from),
            to: at(to),
        };
        self.page(&caller, Some(customer).filter(|c| !c.is_empty()), filter, limit, cursor).await
    }

    async fn list_customer_events(
        &self,
        request: Request<pb::ListCustomerEventsRequest>,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let caller = kit::Caller::of(&request)?;
        let pb::ListCustomerEventsRequest { id, limit, cursor } = request.into_inner();
        self.page(&caller, Some(id), Filter::default(), limit, cursor).await
    }
}

impl Rpc {
    async fn page(
        &self,
        caller: &kit::Caller,
        customer: Option<String>,
        mut filter: Filter,
        limit: u32,
        cursor: String,
    ) -> Result<Response<pb::ListEventsResponse>, Status> {
        let listed = async {
            let scope = caller.scope()?;
            if let Some(customer) = &customer {
                // Events name the customer as the sender did: by our id or by the company's.
                filter.customers = self.customers.references(scope, customer).await?;
            }
            let page = self.events.list(scope, &filter, &kit::PageRequest::new(limit, cursor)).await?;
            if let Some(customer) = customer.filter(|_| page.items.is_empty()) {
                // Events may come before the customer; where neither came, nobody of this name is there.
                self.customers.get(scope, &customer).await?;
            }
            Ok::<_, crate::error::Error>(page)
        };
        let page = listed.await.map_err(|e| kit::error::status(&e))?;
        Ok(Response::new(pb::ListEventsResponse {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }
}

impl From<pb::NewEvent> for NewEvent {
    fn from(event: pb::NewEvent) -> Self {
        let pb::NewEvent { id, name, customer, properties, occurred_at, source } = event;
        Self {
            id,
            name,
            customer,
            properties: properties
                .as_ref()
                .map_or_else(|| Some(bson::RawDocumentBuf::new()), properties::to_bson),
            occurred_at: occurred_at.as_ref().and_then(kit::time::from_proto),
            source,
        }
    }
}

impl From<Outcome> for pb::EventResult {
    fn from(outcome: Outcome) -> Self {
        let (id, status, error) = match outcome {
            Outcome::Accepted { id } => (id, pb::EventOutcome::Accepted, None),
            Outcome::Duplicate { id } => (id, pb::EventOutcome::Duplicate, None),
            Outcome::Rejected { id, why } => {
                let error = pb::EventError {
                    field: why.field.into(),
                    code: why.code.into(),
                    message: why.message.into(),
                };
                (id, pb::EventOutcome::Rejected, Some(error))
            }
        };
        Self { id, status: status.into(), error }
    }
}

impl From<Event> for pb::UserEvent {
    fn from(event: Event) -> Self {
        let Event { id, name, customer, properties, occurred_at, received_at, source } = event;
        Self {
            id,
            name,
            customer,
            properties: Some(properties::to_proto(&properties)),
            occurred_at: Some(kit::time::to_proto(occurred_at)),
            received_at: Some(kit::time::to_proto(received_at)),
            source,
        }
    }
}
