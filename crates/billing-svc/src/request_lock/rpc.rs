//! Locks over gRPC, for operators.

use kit::Caller;
use proto::billing as pb;
use proto::billing::request_lock_service_server::RequestLockService;
use tonic::{Request, Response, Status};

use super::Leases;

pub(crate) struct Rpc(pub Leases);

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RequestLockService for Rpc {
    async fn list_locks(&self, request: Request<pb::ListLocksRequest>) -> Reply<pb::ListLocksResponse> {
        Caller::of(&request)?;
        let held = self.0.held().await.map_err(|e| kit::error::status(&e))?;
        let lock = |l: store::Stored<super::lease::Held>| pb::Lock {
            key: l.id,
            holder: l.body.holder,
            token: l.body.token,
            purpose: l.body.purpose,
            taken_at: Some(kit::time::to_proto(l.body.taken_at)),
            expires_at: Some(kit::time::to_proto(l.body.expires_at)),
        };
        let items = held.into_iter().map(lock).collect();
        Ok(Response::new(pb::ListLocksResponse { items, next_cursor: String::new() }))
    }

    async fn release_lock(&self, request: Request<pb::ReleaseLockRequest>) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        let key = request.into_inner().key;
        let released = self.0.take_from_holder(&key).await.map_err(|e| kit::error::status(&e))?;
        if !released {
            return Err(kit::error::status(&kit::Fault::not_found("lock")));
        }
        tracing::warn!(lock = %key, actor = %caller.actor.id, "lock {key} was taken from its holder by an operator");
        Ok(Response::new(proto::common::Empty {}))
    }
}
