//! Settings over gRPC.

use kit::{Caller, PageRequest};
use proto::identity as pb;
use proto::identity::global_config_service_server::GlobalConfigService;
use store::Stored;
use tonic::{Request, Response, Status};

use super::model::{Assigned, Change, Editor, Kind, LONGEST_DOMAIN, Source, Value};
use super::ops::{Effective, GlobalConfig, Listed};
use crate::error::Error;

pub(crate) struct Rpc(pub GlobalConfig);

type Reply<T> = Result<Response<T>, Status>;

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

#[tonic::async_trait]
impl GlobalConfigService for Rpc {
    async fn list_config(&self, request: Request<pb::ListConfigRequest>) -> Reply<pb::ListConfigResponse> {
        let caller = Caller::of(&request)?;
        let items = self.0.list(&caller).await.map_err(wrong)?;
        let items = items.into_iter().map(setting_to).collect();
        Ok(Response::new(pb::ListConfigResponse { items, next_cursor: String::new() }))
    }

    async fn get_effective_config(
        &self,
        request: Request<pb::GetEffectiveConfigRequest>,
    ) -> Reply<pb::EffectiveConfig> {
        let caller = Caller::of(&request)?;
        let all = self.0.effective(&caller).await.map_err(wrong)?;
        let (flags, rest): (Vec<_>, Vec<_>) = all.into_iter().partition(|e| e.setting.flag);
        let flags = flags.into_iter().map(|e| (e.setting.key.to_owned(), e.value == Value::Bool(true)));
        let items = rest.into_iter().map(effective_to).collect();
        Ok(Response::new(pb::EffectiveConfig { flags: flags.collect(), items }))
    }

    async fn put_config(&self, request: Request<pb::PutConfigRequest>) -> Reply<pb::ConfigValue> {
        let caller = Caller::of(&request)?;
        let pb::PutConfigRequest { key, version, value, rollout } = request.into_inner();
        let value = value.map(proto::json::from_wire).filter(|v| !v.is_null());
        let put = self.0.put(&caller, &key, version, value, rollout).await.map_err(wrong)?;
        Ok(Response::new(stored_to(put)))
    }

    async fn list_config_history(
        &self,
        request: Request<pb::ListConfigHistoryRequest>,
    ) -> Reply<pb::ListConfigHistoryResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListConfigHistoryRequest { key, limit, cursor } = request.into_inner();
        let page = PageRequest::new(limit, cursor);
        let page = self.0.history(&caller, &key, &page).await.map_err(wrong)?.map(change_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListConfigHistoryResponse { items: page.items, next_cursor }))
    }

    async fn rollback_config(&self, request: Request<pb::RollbackConfigRequest>) -> Reply<pb::ConfigValue> {
        let caller = Caller::of(&request)?;
        let pb::RollbackConfigRequest { key, version, to_version } = request.into_inner();
        let put = self.0.rollback(&caller, &key, version, to_version).await.map_err(wrong)?;
        Ok(Response::new(stored_to(put)))
    }
}

fn value_to(value: &Value) -> prost_types::Value {
    proto::json::to_wire(&serde_json::json!(value))
}

fn source_to(source: Source) -> i32 {
    match source {
        Source::Default => pb::ConfigSource::Default,
        Source::Platform => pb::ConfigSource::Platform,
        Source::Company => pb::ConfigSource::Company,
    }
    .into()
}

fn effective_to(effective: Effective) -> pb::EffectiveValue {
    let Effective { setting, value, source, version, editable } = effective;
    pb::EffectiveValue {
        key: setting.key.to_owned(),
        value: Some(value_to(&value)),
        source: source_to(source),
        version,
        editable,
    }
}

fn stored_to(stored: Stored<Assigned>) -> pb::ConfigValue {
    let Stored { id: _, scope, version, created_at: _, updated_at: _, body } = stored;
    let Assigned { key, value, rollout, changed_by, changed_at } = body;
    let source =
        if scope.company == kit::Scope::platform().company { Source::Platform } else { Source::Company };
    pb::ConfigValue {
        key,
        source: source_to(source),
        value: value.as_ref().map(value_to),
        rollout,
        version,
        changed_by,
        changed_at: Some(kit::time::to_proto(changed_at)),
    }
}

fn setting_to(listed: Listed) -> pb::ConfigSetting {
    let Listed { setting, default, platform, company } = listed;
    let level = |stored: Option<Stored<Assigned>>, source| {
        stored.map_or_else(
            || pb::ConfigValue {
                key: setting.key.to_owned(),
                source: source_to(source),
                ..Default::default()
            },
            stored_to,
        )
    };
    let (kind, mut bounds) = (setting.kind, pb::ConfigSetting::default());
    match kind {
        Kind::Bool => {}
        Kind::Int { min, max } => (bounds.min, bounds.max) = (Some(min), Some(max)),
        Kind::Text { longest } => bounds.max_length = u32::try_from(longest).ok(),
        Kind::Choice(choices) => bounds.choices = choices.iter().map(|c| (*c).to_owned()).collect(),
        Kind::Domains { most } => {
            bounds.max_items = u32::try_from(most).ok();
            bounds.max_length = u32::try_from(LONGEST_DOMAIN).ok();
        }
    }
    pb::ConfigSetting {
        key: setting.key.to_owned(),
        r#type: type_to(kind).into(),
        description: setting.description.to_owned(),
        editor: editor_to(setting.editor).into(),
        flag: setting.flag,
        per_mode: setting.per_mode,
        narrows: setting.narrows,
        default: Some(value_to(&default)),
        platform: Some(level(platform, Source::Platform)),
        company: company.map(|c| level(c, Source::Company)),
        ..bounds
    }
}

fn type_to(kind: Kind) -> pb::ConfigType {
    match kind {
        Kind::Bool => pb::ConfigType::Bool,
        Kind::Int { .. } => pb::ConfigType::Int,
        Kind::Text { .. } => pb::ConfigType::Text,
        Kind::Choice(_) => pb::ConfigType::Choice,
        Kind::Domains { .. } => pb::ConfigType::List,
    }
}

fn editor_to(editor: Editor) -> pb::ConfigEditor {
    match editor {
        Editor::Platform => pb::ConfigEditor::Platform,
        Editor::Operator => pb::ConfigEditor::Operator,
        Editor::Company => pb::ConfigEditor::Company,
    }
}

fn change_to(stored: Stored<Change>) -> pb::ConfigChange {
    let Change {
        key,
        version,
        before,
        after,
        rollout_before,
        rollout_after,
        changed_by,
        role,
        reason,
        changed_at,
        rolled_back_to,
    } = stored.body;
    pb::ConfigChange {
        key,
        version,
        before: before.as_ref().map(value_to),
        after: after.as_ref().map(value_to),
        rollout_before,
        rollout_after,
        changed_by,
        role,
        reason,
        changed_at: Some(kit::time::to_proto(changed_at)),
        rolled_back_to,
    }
}
