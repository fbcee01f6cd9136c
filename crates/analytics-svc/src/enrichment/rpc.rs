//! The gRPC face of enrichment.

use kit::Scope;
use kit::error::status;
use kit::time::{add_days, to_proto};
use proto::analytics as pb;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::facts::{Customers, derive};
use crate::persona::wire;

pub struct Rpc {
    pub customers: Customers,
}

#[tonic::async_trait]
impl pb::enrichment_service_server::EnrichmentService for Rpc {
    async fn get_enrichment(
        &self,
        request: Request<pb::GetEnrichmentRequest>,
    ) -> Result<Response<pb::Enrichment>, Status> {
        let caller = kit::Caller::of(&request)?;
        let got = async { self.read(caller.scope()?, &request.get_ref().id).await };
        Ok(Response::new(got.await.map_err(|e: Error| status(&e))?))
    }

    async fn recompute_enrichment(
        &self,
        request: Request<pb::RecomputeEnrichmentRequest>,
    ) -> Result<Response<pb::Enrichment>, Status> {
        let caller = kit::Caller::of(&request)?;
        let id = &request.get_ref().id;
        let recomputed = async {
            let scope = caller.scope()?;
            self.customers.get(scope, id).await?;
            self.customers.see(scope, id).await?;
            self.read(scope, id).await
        };
        Ok(Response::new(recomputed.await.map_err(|e: Error| status(&e))?))
    }
}

impl Rpc {
    async fn read(&self, scope: &Scope, reference: &str) -> Result<pb::Enrichment, Error> {
        let customer = self.customers.get(scope, reference).await?;
        // As of when it was worked out, so that reading twice says the same.
        let computed = customer.body.computed_at.unwrap_or(customer.updated_at);
        let items = derive(&customer.body.known, computed).into_iter().map(|fact| pb::EnrichedFact {
            group: fact.group.to_owned(),
            key: fact.key,
            value: Some(wire(&fact.value)),
            source: fact.source.to_owned(),
            confidence: 1.0,
            computed_at: Some(to_proto(computed)),
            fresh_until: fact.ages.then(|| to_proto(add_days(computed, 1))),
        });
        Ok(pb::Enrichment { customer_id: customer.id, items: items.collect() })
    }
}
