//! Workflows' face on the wire.

use kit::time::to_proto;
use kit::{Caller, PageRequest};
use prost::Message as _;
use proto::content as pb;
use proto::content::workflow_service_server::{WorkflowService, WorkflowServiceServer};
use proto::google::api::HttpBody;
use tonic::{Request, Response};

use super::convert::content;
use super::import::Imported;
use super::model::{Trigger, WorkflowContent, WorkflowHead};
use super::ops::Workflows;
use super::uses::{Use, Used};
use crate::error::Error;
use crate::text::rpc::findings;
use crate::versioned::{Filter, Object, View, rpc as versions};
use crate::wire::{Reply, Wire, enum_of, mirror, reply, some};
use crate::workflow_run::{Start, WorkflowRuns};

mirror!(Used => pb::UsedKind { Template, Card, Questionnaire, Offer, Persona });

/// Whose rules a file keeps.
const CREATE: &str = "/retention.content.v1.WorkflowService/CreateWorkflow";

/// The room's gRPC service.
pub fn service(room: Workflows, runs: WorkflowRuns) -> WorkflowServiceServer<Rpc> {
    WorkflowServiceServer::new(Rpc(room, runs))
}

/// The room behind its gRPC service.
pub struct Rpc(pub Workflows, pub WorkflowRuns);

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

    async fn archive_workflow(&self, request: Request<pb::ArchiveWorkflowRequest>) -> Reply<pb::Workflow> {
        let caller = Caller::of(&request)?;
        let pb::ArchiveWorkflowRequest { id, stop_runs } = request.into_inner();
        let archived = async {
            let view = self.0.archive(&caller, &id).await?;
            // After it: what begins meanwhile sees that it is archived. Asked for again, it stops what is left.
            if stop_runs {
                self.1.stop_all(caller.scope()?, &id, "workflow_archived").await?;
            }
            Ok::<_, Error>(view)
        };
        reply(archived.await.map(Into::into))
    }

    async fn start_workflow_runs(
        &self,
        request: Request<pb::StartWorkflowRunsRequest>,
    ) -> Reply<pb::StartWorkflowRunsResponse> {
        let caller = Caller::of(&request)?;
        let pb::StartWorkflowRunsRequest { id, customers, key } = request.into_inner();
        let key = if key.is_empty() { kit::id::new("key") } else { key };
        let starts: Vec<Start> = customers
            .into_iter()
            .map(|pb::RunStart { customer, subscription }| Start {
                key: format!("manual/{id}/{key}/{customer}/{subscription}"),
                customer,
                subscription,
                ..Start::default()
            })
            .collect();
        let started = self.1.by_hand(&caller, &id, &starts).await;
        reply(started.map(|all| {
            pb::StartWorkflowRunsResponse {
                items: std::iter::zip(starts, all)
                    .map(|(start, started)| pb::RunStarted {
                        customer: start.customer,
                        outcome: started.outcome().into(),
                        run_id: started.run_id().unwrap_or_default().into(),
                    })
                    .collect(),
            }
        }))
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

    async fn export_workflow(&self, request: Request<pb::ExportWorkflowRequest>) -> Reply<HttpBody> {
        let caller = Caller::of(&request)?;
        let pb::ExportWorkflowRequest { id, version } = request.into_inner();
        let text = reply(self.0.export(&caller, &id, version).await)?.into_inner();
        let mut answer = Response::new(HttpBody {
            content_type: "application/yaml; charset=utf-8".into(),
            data: text.into_bytes().into(),
            extensions: Vec::new(),
        });
        let name = format!("attachment; filename=\"{id}.yaml\"");
        if let Ok(name) = name.parse() {
            answer.metadata_mut().insert("content-disposition", name);
        }
        Ok(answer)
    }

    async fn import_workflow(
        &self,
        request: Request<pb::ImportWorkflowRequest>,
    ) -> Reply<pb::WorkflowImport> {
        let caller = Caller::of(&request)?;
        let pb::ImportWorkflowRequest { text, workflow_id, dry_run } = request.into_inner();
        let (name, content) = reply(self.0.read_file(&caller, &text).await)?.into_inner();
        // A file keeps the rules that a request keeps.
        let as_sent = pb::CreateWorkflowRequest { name: name.clone(), content: Some(content.clone().into()) };
        proto::check::message(CREATE, &as_sent.encode_to_vec())?;
        let workflow = some(workflow_id);
        let imported = self.0.import(&caller, workflow.as_deref(), name, content, dry_run).await;
        reply(imported.map(|Imported { act, view, changes, findings: found }| pb::WorkflowImport {
            dry_run,
            action: act.as_str().into(),
            workflow: view.map(Into::into),
            changes: changes.into_iter().map(Into::into).collect(),
            findings: findings(found),
        }))
    }

    async fn find_uses(&self, request: Request<pb::FindUsesRequest>) -> Reply<pb::FoundUses> {
        let caller = Caller::of(&request)?;
        let pb::FindUsesRequest { kind, id } = request.into_inner();
        let found = async { self.0.uses(&caller, enum_of("kind", kind)?, &id).await };
        reply(found.await.map(|uses| pb::FoundUses { items: uses.into_iter().map(Into::into).collect() }))
    }

    async fn list_workflow_versions(&self, request: Request<pb::ContentIdRequest>) -> Reply<pb::ReleaseList> {
        versions::list(&self.0.objects, request).await
    }
}

impl From<Use> for pb::Use {
    fn from(used: Use) -> Self {
        let Use { kind, id, name, draft, published, places } = used;
        Self { kind: kind.into(), id, name, draft, published, places }
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
