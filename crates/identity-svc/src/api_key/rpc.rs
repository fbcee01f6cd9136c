//! API keys over gRPC.

use jiff::SignedDuration;
use kit::{Caller, Mode};
use proto::identity as pb;
use proto::identity::api_key_service_server::ApiKeyService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::ApiKey;
use super::ops::{ApiKeys, WantedKey};
use crate::error::Error;

pub(crate) struct Rpc(pub ApiKeys);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl ApiKeyService for Rpc {
    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Reply<pb::ListApiKeysResponse> {
        let caller = Caller::of(&request)?;
        let keys = self.0.list(&caller, &request.get_ref().id).await.map_err(wrong)?;
        let items = keys.into_iter().map(|k| key_to(k, String::new())).collect();
        Ok(Response::new(pb::ListApiKeysResponse { items, next_cursor: String::new() }))
    }

    async fn create_api_key(&self, request: Request<pb::CreateApiKeyRequest>) -> Reply<pb::ApiKey> {
        let caller = Caller::of(&request)?;
        let pb::CreateApiKeyRequest { id, name, mode, scopes, expires_at, replaces, overlap_seconds } =
            request.into_inner();
        let mode = match pb::KeyMode::try_from(mode) {
            Ok(pb::KeyMode::Test) => Mode::Test,
            _ => Mode::Live,
        };
        let wanted = WantedKey {
            name,
            scopes,
            expires_at: expires_at.as_ref().and_then(kit::time::from_proto),
            replaces: Some(replaces).filter(|id| !id.is_empty()),
            overlap: overlap_seconds.map(|s| SignedDuration::from_secs(s.into())),
        };
        let made = self.0.create(&caller, &id, mode, wanted).await;
        let (key, secret) = made.map_err(wrong)?;
        Ok(Response::new(key_to(key, secret)))
    }

    async fn delete_api_key(&self, request: Request<pb::DeleteApiKeyRequest>) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        let pb::DeleteApiKeyRequest { id, kid } = request.into_inner();
        self.0.revoke(&caller, &id, &kid).await.map_err(wrong)?;
        Ok(Response::new(proto::common::Empty {}))
    }
}

fn key_to(stored: Stored<ApiKey>, secret: String) -> pb::ApiKey {
    let Stored { id, scope, version: _, created_at, updated_at: _, body } = stored;
    let ApiKey { name, hash: _, hint, scopes, created_by, expires_at, last_used_at, revoked_at, replaces } =
        body;
    let mode = match scope.mode {
        Mode::Live => pb::KeyMode::Live,
        Mode::Test => pb::KeyMode::Test,
    };
    pb::ApiKey {
        id,
        name,
        mode: mode.into(),
        scopes,
        hint,
        secret,
        created_by,
        created_at: Some(kit::time::to_proto(created_at)),
        expires_at: expires_at.map(kit::time::to_proto),
        last_used_at: last_used_at.map(kit::time::to_proto),
        revoked_at: revoked_at.map(kit::time::to_proto),
        replaces: replaces.unwrap_or_default(),
    }
}
