//! Merges over gRPC.

use kit::Caller;
use proto::billing as pb;
use proto::billing::customer_merge_service_server::CustomerMergeService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::Merge;
use super::ops::{Merged, Merges, Pair};
use crate::customers::customer_to;
use crate::error::Error;

pub(crate) struct Rpc(pub Merges);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl CustomerMergeService for Rpc {
    async fn merge_customers(&self, request: Request<pb::MergeCustomersRequest>) -> Reply<pb::CustomerMerge> {
        let caller = Caller::of(&request)?;
        let pb::MergeCustomersRequest { survivor_id, absorbed_id, survivor_version, absorbed_version } =
            request.into_inner();
        let pair =
            Pair { survivor: (survivor_id, survivor_version), absorbed: (absorbed_id, absorbed_version) };
        let merged = self.0.merge(&caller, &pair).await.map_err(wrong)?;
        self.reply(&caller, merged).await
    }

    async fn get_merge(&self, request: Request<pb::GetMergeRequest>) -> Reply<pb::CustomerMerge> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let merged = self.0.get(scope, &request.get_ref().merge_id).await.map_err(wrong)?;
        self.reply(&caller, merged).await
    }

    async fn undo_merge(&self, request: Request<pb::UndoMergeRequest>) -> Reply<pb::CustomerMerge> {
        let caller = Caller::of(&request)?;
        let merged = self.0.undo(&caller, &request.get_ref().merge_id).await.map_err(wrong)?;
        self.reply(&caller, merged).await
    }
}

impl Rpc {
    async fn reply(&self, caller: &Caller, merged: Merged) -> Reply<pb::CustomerMerge> {
        let Merged { merge: Stored { id, body, .. }, customer } = merged;
        let mask = match caller.sees_personal_data() {
            true => None,
            false => Some(self.0.customers.definitions(&customer.scope).await.map_err(wrong)?),
        };
        let count = |ids: &[String]| u32::try_from(ids.len()).unwrap_or(u32::MAX);
        let Merge { survivor_id, absorbed_id, subscription_ids, redemption_ids, .. } = &body;
        Ok(Response::new(pb::CustomerMerge {
            id,
            survivor_id: survivor_id.clone(),
            absorbed_id: absorbed_id.clone(),
            merged_at: Some(kit::time::to_proto(body.merged_at)),
            undo_until: Some(kit::time::to_proto(body.undo_until)),
            undone_at: body.undone_at.map(kit::time::to_proto),
            subscriptions: count(subscription_ids),
            redemptions: count(redemption_ids),
            customer: Some(customer_to(customer, mask.as_ref(), self.0.customers.now(), false)),
        }))
    }
}
