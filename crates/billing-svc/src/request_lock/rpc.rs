//! Locks over gRPC, for operators.

use kit::{Caller, PageRequest};
use proto::billing as pb;
use proto::billing::request_lock_service_server::RequestLockService;
use store::Stored;
use store::lease::Held;
use tonic::{Request, Response, Status};

use super::ops::Locks;

pub(crate) struct Rpc(pub Locks);

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RequestLockService for Rpc {
    async fn list_locks(&self, request: Request<pb::ListLocksRequest>) -> Reply<pb::ListLocksResponse> {
        Caller::of(&request)?;
        let pb::ListLocksRequest { limit, cursor } = request.into_inner();
        let page = self.0.held(&PageRequest::new(limit, cursor)).await.map_err(|e| kit::error::status(&e))?;
        let page = page.map(lock_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListLocksResponse { items: page.items, next_cursor }))
    }

    async fn release_lock(&self, request: Request<pb::ReleaseLockRequest>) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        self.0.release(&caller, &request.get_ref().key).await.map_err(|e| kit::error::status(&e))?;
        Ok(Response::new(proto::common::Empty {}))
    }
}

fn lock_to(stored: Stored<Held>) -> pb::Lock {
    let Stored { id, body, .. } = stored;
    let Held { holder, token, purpose, taken_at, expires_at } = body;
    pb::Lock {
        key: id,
        holder,
        token,
        purpose,
        taken_at: Some(kit::time::to_proto(taken_at)),
        expires_at: Some(kit::time::to_proto(expires_at)),
    }
}
