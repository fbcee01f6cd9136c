//! Where a service takes orders and gives receipts.

use std::sync::Arc;

use async_trait::async_trait;
use bus::{Bus, Handler, Incoming, Outcome};
use kit::SharedClock;
use mongodb::Database;
use prost::Message as _;
use proto::events::Event;
use proto::events::event::Data;
use proto::personal::personal_data_service_server::PersonalDataServiceServer;

use crate::order::{Kind, Order, Part, Whose};
use crate::receipt::Receipts;
use crate::rpc::Rpc;
use crate::shelf::Shelf;
use crate::{FAMILY, Holder};

/// A service's desk for privacy orders.
#[derive(Clone)]
pub struct Desk {
    service: &'static str,
    db: Database,
    holder: Arc<dyn Holder>,
    pub receipts: Receipts,
}

impl Desk {
    pub async fn open(
        service: &'static str,
        db: &Database,
        clock: SharedClock,
        holder: Arc<dyn Holder>,
    ) -> store::Result<Self> {
        let receipts = Receipts::open(service, db, clock).await?;
        Ok(Self { service, db: db.clone(), holder, receipts })
    }

    /// Hears orders by a consumer of its own, and hands records out, as parts of a service. Its receipts are told by the
    /// service's relay, which must read [`crate::COLLECTION`].
    pub fn serve(&self, service: kit::Service, bus: &Bus) -> kit::Service {
        let (bus, ears, name) = (bus.clone(), Arc::new(self.clone()), self.service);
        service
            .room(PersonalDataServiceServer::new(Rpc(self.clone())))
            .task("privacy_orders", move |stop| bus.subscribe(name, FAMILY, ears, stop))
    }

    pub(crate) async fn shelves(&self, order: &Order) -> anyhow::Result<Vec<Shelf>> {
        self.holder.shelves(order).await
    }

    pub(crate) fn db(&self) -> &Database {
        &self.db
    }

    /// Does this service's part and answers. Done twice, the second time finds nothing more to do and answers again.
    pub async fn carry_out(&self, order: &Order) -> anyhow::Result<Part> {
        let part = match order.kind {
            Kind::Access => {
                let mut part = Part::default();
                for shelf in self.shelves(order).await? {
                    part = part.beside(shelf.count(&self.db, &order.scope).await?);
                }
                part
            }
            Kind::Erasure => {
                let shelves = self.shelves(order).await?;
                let part = self.empty(order, &shelves).await?;
                let part = part.and(self.holder.erase(order).await?);
                // What came in before the person was known to be gone.
                part.and(self.empty(order, &shelves).await?)
            }
            Kind::Restriction => self.holder.restrict(order, true).await?,
            Kind::Lift => self.holder.restrict(order, false).await?,
        };
        let (request, kind) = (&order.request_id, order.kind);
        let part = self.receipts.give(&order.scope, request, kind, part).await?;
        tracing::info!(privacy.id = %request, "privacy request {request}: {} is done here", kind.as_str());
        Ok(part)
    }

    async fn empty(&self, order: &Order, shelves: &[Shelf]) -> anyhow::Result<Part> {
        let mut part = Part::default();
        for shelf in shelves {
            part = part.beside(shelf.empty(&self.db, &order.scope).await?);
        }
        Ok(part)
    }
}

#[async_trait]
impl Handler for Desk {
    async fn handle(&self, batch: &[Incoming]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for incoming in batch {
            outcomes.push(match order_of(incoming) {
                Err(why) => Outcome::Dead(why),
                Ok(None) => Outcome::Done,
                Ok(Some(order)) => match Box::pin(self.carry_out(&order)).await {
                    Ok(_) => Outcome::Done,
                    Err(e) => Outcome::Retry(format!("{e:#}")),
                },
            });
        }
        outcomes
    }
}

/// The order an event is; none where it is a receipt.
fn order_of(incoming: &Incoming) -> Result<Option<Order>, String> {
    let event =
        Event::decode(incoming.body.as_ref()).map_err(|e| format!("the event cannot be read: {e}"))?;
    let Some(Data::PrivacyRequested(r)) = event.data else { return Ok(None) };
    let kind = Kind::parse(&r.kind).ok_or_else(|| format!("nobody knows how to do {}", r.kind))?;
    if r.customer_ids.is_empty() {
        return Err("it is about nobody".into());
    }
    let whose = Whose { customers: r.customer_ids, external: r.external_ids };
    Ok(Some(Order { request_id: r.request_id, kind, scope: incoming.scope.clone(), whose }))
}
