//! The gRPC face of the holdout.

use kit::error::status;
use kit::time::to_proto;
use proto::analytics as pb;
use tonic::{Request, Response, Status};

use super::ops::Holdouts;
use super::store::Holdout;
use crate::error::Error;

pub struct Rpc {
    pub holdouts: Holdouts,
}

#[tonic::async_trait]
impl pb::experiment_service_server::ExperimentService for Rpc {
    async fn get_holdout(
        &self,
        request: Request<pb::GetHoldoutRequest>,
    ) -> Result<Response<pb::Holdout>, Status> {
        let caller = kit::Caller::of(&request)?;
        let got = async { self.holdouts.get(caller.scope()?).await };
        Ok(Response::new(got.await.map_err(|e: Error| status(&e))?.into()))
    }

    async fn set_holdout(
        &self,
        request: Request<pb::SetHoldoutRequest>,
    ) -> Result<Response<pb::Holdout>, Status> {
        let caller = kit::Caller::of(&request)?;
        let set = self.holdouts.set(&caller, request.get_ref().share_percent).await;
        Ok(Response::new(set.map_err(|e| status(&e))?.into()))
    }
}

impl From<Holdout> for pb::Holdout {
    fn from(holdout: Holdout) -> Self {
        let Holdout { share_percent, period, started_at } = holdout;
        Self { share_percent, period, started_at: Some(to_proto(started_at)) }
    }
}
