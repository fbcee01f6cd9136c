//! What the cancel flow asks: the facts and personas of one customer.

use kit::error::status;
use proto::analytics as pb;
use tonic::{Request, Response, Status};

use super::ops::{Customers, Seen};
use crate::error::Error;
use crate::experiment::Holdouts;
use crate::persona::wire;

pub struct Rpc {
    pub customers: Customers,
    pub holdouts: Holdouts,
}

#[tonic::async_trait]
impl pb::facts_service_server::FactsService for Rpc {
    async fn get_customer_facts(
        &self,
        request: Request<pb::GetCustomerFactsRequest>,
    ) -> Result<Response<pb::CustomerFacts>, Status> {
        let caller = kit::Caller::of(&request)?;
        let reference = request.into_inner().customer_id;
        let got = async {
            let scope = caller.scope()?;
            let seen = self.customers.see(scope, &reference).await?;
            let id = seen.as_ref().map_or(reference.as_str(), |s| s.id.as_str());
            let holdout = self.holdouts.holds_out(scope, id).await?;
            Ok((seen, holdout))
        };
        let (seen, holdout) = got.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(match seen {
            Some(seen) => to_message(seen, holdout),
            None => pb::CustomerFacts { customer_id: reference, holdout, ..Default::default() },
        }))
    }
}

fn to_message(seen: Seen, holdout: bool) -> pb::CustomerFacts {
    let Seen { id, facts, personas, board } = seen;
    let persona = |(persona_id, reason): (String, String)| {
        let seat = board.get(&persona_id)?;
        Some(pb::CustomerPersona {
            persona_id,
            name: seat.name.clone(),
            priority: seat.priority,
            reason,
            max_discount_percent: seat.guard_rails.max_discount_percent,
            allowed_offer_kinds: seat.guard_rails.allowed_offer_kinds.clone(),
        })
    };
    let fields = facts.iter().map(|(key, value)| (key.clone(), wire(value))).collect();
    pb::CustomerFacts {
        customer_id: id,
        personas: personas.into_iter().filter_map(persona).collect(),
        facts: Some(prost_types::Struct { fields }),
        holdout,
    }
}
