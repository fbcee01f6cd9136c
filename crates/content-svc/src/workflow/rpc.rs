//! Workflows' face on the wire.

use kit::time::to_proto;
use kit::{Caller, PageRequest};
use proto::content as pb;
use proto::content::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use tonic::Request;

use super::convert::content;
use super::model::{Trigger, WorkflowContent, WorkflowHead};
use super::ops::Workflows;
use crate::text::rpc::findings;
use crate::versioned::{Filter, Object, View, rpc as versions};
use crate::wire::{Reply, Wire, reply};

/// The room's gRPC service.
pub fn service(room: Workflows) -> WorkflowServiceServer<Rpc> {
    WorkflowServiceServer::new(Rpc(room))
}

/// The room behind its gRPC service.
pub struct Rpc(pub Workflows);

#[tonic::async_trait]
impl WorkflowService for Rpc {
    async fn list_workflows(
        &self,
        request: Request<pb::ListWorkflowsRequest>,
    ) -> Reply<pb::ListWorkflowsResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListWorkflowsRequest { limit, cursor, trigger, archived } = request.into_inner();
        let facet = Trigger::of_wire(trigger).map(Trigger::as_str);
        let filter = Filter { archived, facet, holding: None };
        let page = self.0.objects.list(&caller, filter, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListWorkflowsResponse {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_workflow(&self, request: Request<pb::CreateWorkflowRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        let pb::CreateWorkflowRequest { name, content: given } = request.into_inner();
        let made = async { self.0.create(&caller, name, content(given)?).await };
        reply(made.await.map(Into::into))
    }

    async fn get_workflow(&self, request: Request<pb::GetContentRequest>) -> Reply<pb::Workflow> {
        versions::get(&self.0.objects, request).await
    }

    async fn update_workflow(&self, request: Request<pb::UpdateWorkflowRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        let pb::UpdateWorkflowRequest { id, version, name, content: given, update_mask: _ } =
            request.into_inner();
        let changed = async {
            let given = given.map(|c| content(Some(c))).transpose()?;
            let change = |object: &mut Object<WorkflowHead, WorkflowContent>| {
                object.name = name.unwrap_or(std::mem::take(&mut object.name));
                given.map_or(Ok(()), |content| object.edit(content))
            };
            self.0.objects.edit(&caller, &id, version, change).await
        };
        reply(changed.await.map(Into::into))
    }

    async fn validate_workflow(&self, request: Request<pb::ContentIdRequest>) -> Reply<pb::ValidationReport> {
        let caller = Caller::of(&request)?;
        let found = self.0.validate(&caller, &request.into_inner().id).await;
        reply(found.map(|found| pb::ValidationReport {
            publishable: !found.has_errors(),
            findings: findings(found),
        }))
    }

    async fn submit_workflow(&self, request: Request<pb::SubmitContentRequest>) -> Reply<pb::Workflow> {
        versions::submit(&self.0.objects, request).await
    }

    async fn publish_workflow(&self, request: Request<pb::PublishContentRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        let pb::PublishContentRequest { id, version, note } = request.into_inner();
        reply(self.0.publish(&caller, &id, version, note).await.map(Into::into))
    }

    async fn rollback_workflow(&self, request: Request<pb::RollbackContentRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        let pb::RollbackContentRequest { id, version, number, note } = request.into_inner();
        reply(self.0.rollback(&caller, &id, version, number, note).await.map(Into::into))
    }

    async fn pause_workflow(&self, request: Request<pb::PauseWorkflowRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        let pb::PauseWorkflowRequest { id, resume } = request.into_inner();
        reply(self.0.pause(&caller, &id, resume).await.map(Into::into))
    }

    async fn archive_workflow(&self, request: Request<pb::ArchiveContentRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        reply(self.0.archive(&caller, &request.into_inner().id).await.map(Into::into))
    }

    async fn order_workflows(
        &self,
        request: Request<pb::OrderWorkflowsRequest>,
    ) -> Reply<pb::ListWorkflowsResponse> {
        let caller = Caller::of(&request)?;
        let ordered = self.0.order(&caller, &request.into_inner().ids).await;
        reply(ordered.map(|all| pb::ListWorkflowsResponse {
            items: all.into_iter().map(Into::into).collect(),
            next_cursor: String::new(),
        }))
    }

    async fn list_workflow_versions(&self, request: Request<pb::ContentIdRequest>) -> Reply<pb::ReleaseList> {
        versions::list(&self.0.objects, request).await
    }
}

impl From<View<WorkflowContent>> for pb::Workflow {
    fn from(view: View<WorkflowContent>) -> Self {
        let View {
            id,
            name,
            head: WorkflowHead { priority, paused },
            state,
            content,
            pins,
            release,
            warnings,
            created_at,
            updated_at,
            version,
        } = view;
        Self {
            id,
            name,
            priority,
            paused,
            state: state.to_wire(),
            content: content.map(Into::into),
            pins: pins.into_iter().map(Into::into).collect(),
            published: release.map(versions::in_use),
            warnings: findings(warnings),
            created_at: Some(to_proto(created_at)),
            updated_at: Some(to_proto(updated_at)),
            version,
        }
    }
}
