//! The viewer's face on the wire.

use kit::time::from_proto;
use kit::{Caller, Fault};
use proto::content as pb;
use proto::content::simulate_workflow_request::Who;
use proto::content::workflow_viewer_service_server::{WorkflowViewerService, WorkflowViewerServiceServer};
use proto::google::api::HttpBody;
use tonic::Request;

use super::layout::{Drawn, Edge, HEIGHT, Picture, WIDTH};
use super::ops::{Graph, Played, Sample, WorkflowViewer};
use super::svg::svg;
use crate::engine::{Decision, Known, Scene};
use crate::error::Error;
use crate::flow_session::{answers_among, facts_of};
use crate::text::rpc::findings;
use crate::wire::{Reply, reply};
use crate::workflow_run::{WorkflowRuns, to_wire};

/// The room's gRPC service.
pub fn service(room: WorkflowViewer, runs: WorkflowRuns) -> WorkflowViewerServiceServer<Rpc> {
    WorkflowViewerServiceServer::new(Rpc(room, runs))
}

/// The room behind its gRPC service.
pub struct Rpc(pub WorkflowViewer, pub WorkflowRuns);

#[tonic::async_trait]
impl WorkflowViewerService for Rpc {
    async fn get_workflow_graph(
        &self,
        request: Request<pb::GetWorkflowGraphRequest>,
    ) -> Reply<pb::WorkflowGraph> {
        let caller = Caller::of(&request)?;
        let pb::GetWorkflowGraphRequest { id, version } = request.into_inner();
        let seen = self.0.graph(&caller, &id, version).await;
        reply(seen.map(|Graph { name, content: _, picture, findings: found }| {
            let Picture { nodes, edges, width, height } = picture;
            pb::WorkflowGraph {
                workflow_id: id,
                name,
                version,
                nodes: nodes.into_iter().map(Into::into).collect(),
                edges: edges.into_iter().map(Into::into).collect(),
                width,
                height,
                warnings: findings(found),
            }
        }))
    }

    async fn draw_workflow_graph(&self, request: Request<pb::DrawWorkflowGraphRequest>) -> Reply<HttpBody> {
        let caller = Caller::of(&request)?;
        let pb::DrawWorkflowGraphRequest { id, version, heat } = request.into_inner();
        let drawn = async {
            let heat = match heat {
                true => Some(self.0.heat(&caller, &id, version, None, None).await?),
                false => None,
            };
            // Traffic is that of a frozen version, and so is the picture under it.
            let version = heat.as_ref().map_or(version, |(number, _, _)| *number);
            let graph = self.0.graph(&caller, &id, version).await?;
            let heat = heat.map(|(_, _, heat)| heat);
            Ok::<_, Error>(svg(&graph.name, &graph.picture, &graph.findings, heat.as_ref()))
        };
        reply(drawn.await.map(|data| HttpBody {
            content_type: "image/svg+xml".into(),
            data: data.into_bytes().into(),
            extensions: Vec::new(),
        }))
    }

    async fn get_workflow_heat(
        &self,
        request: Request<pb::GetWorkflowHeatRequest>,
    ) -> Reply<pb::WorkflowHeat> {
        let caller = Caller::of(&request)?;
        let pb::GetWorkflowHeatRequest { id, version, since, until } = request.into_inner();
        let (since, until) = (since.as_ref().and_then(from_proto), until.as_ref().and_then(from_proto));
        let seen = self.0.heat(&caller, &id, version, since, until).await;
        reply(seen.map(|(version, edges, heat)| {
            let edges = edges.into_iter().map(|Edge { from, to, exit, label: _ }| {
                let count = heat.along(&from, &exit);
                pb::EdgeHeat { from, to, exit, count }
            });
            let edges = edges.collect();
            let nodes = heat.nodes.into_iter().map(|(node, passage)| pb::NodeHeat {
                node,
                visits: passage.visits,
                left: passage.left,
            });
            pb::WorkflowHeat {
                workflow_id: id,
                version,
                sessions: heat.sessions,
                nodes: nodes.collect(),
                edges,
            }
        }))
    }

    async fn simulate_workflow(&self, request: Request<pb::SimulateWorkflowRequest>) -> Reply<pb::Rehearsal> {
        let caller = Caller::of(&request)?;
        let pb::SimulateWorkflowRequest { id, version, answers, takes, who } = request.into_inner();
        let simulated = async {
            let takes = takes.into_iter().collect();
            let read = |asked: &[&_]| answers_among(asked, answers);
            self.0.simulate(&caller, &id, version, sample(who)?, takes, read).await
        };
        reply(simulated.await.map(rehearsal))
    }

    async fn get_workflow_run(&self, request: Request<pb::GetWorkflowRunRequest>) -> Reply<pb::WorkflowRun> {
        let caller = Caller::of(&request)?;
        reply(self.1.get(&caller, &request.into_inner().rid).await.map(to_wire))
    }

    async fn replay_flow_session(
        &self,
        request: Request<pb::ReplayFlowSessionRequest>,
    ) -> Reply<pb::Rehearsal> {
        let caller = Caller::of(&request)?;
        let pb::ReplayFlowSessionRequest { id, version } = request.into_inner();
        reply(self.0.replay(&caller, &id, version).await.map(rehearsal))
    }
}

fn sample(who: Option<Who>) -> Result<Sample, Fault> {
    Ok(match who {
        Some(Who::Customer(pb::SimulatedCustomer { customer, subscription })) => {
            Sample::Real { customer, subscription }
        }
        Some(Who::Sample(sample)) => made_up(sample),
        None => {
            return Err(Fault::field("sample", "required", "say who goes through: `customer` or `sample`"));
        }
    })
}

/// Somebody made up.
pub(crate) fn made_up(given: pb::SampleCustomer) -> Sample {
    let pb::SampleCustomer { persona_ids, facts, regions, withheld_offer_ids } = given;
    let known = Known {
        personas: persona_ids.into_iter().collect(),
        facts: facts_of(facts),
        regions: regions.into_iter().map(|r| r.to_ascii_uppercase()).collect(),
        ..Known::default()
    };
    Sample::MadeUp { known: Box::new(known), withheld: withheld_offer_ids.into_iter().collect() }
}

fn rehearsal(played: Played) -> pb::Rehearsal {
    let Played { workflow_id, number, course } = played;
    let scenes = course.scenes.into_iter().map(|Scene { node, template_id, offer_id, exit }| pb::Scene {
        node,
        template_id: template_id.unwrap_or_default(),
        offer_id: offer_id.unwrap_or_default(),
        exit,
    });
    let decisions = course.why.into_iter().map(|Decision { node, code, message }| pb::FlowDecision {
        at: None,
        node,
        code,
        message,
    });
    pb::Rehearsal {
        workflow_id,
        version: number,
        scenes: scenes.collect(),
        ended: course.ended.as_str().into(),
        decisions: decisions.collect(),
    }
}

impl From<Drawn> for pb::GraphNode {
    fn from(node: Drawn) -> Self {
        let Drawn { id, kind, title, detail, x, y, reachable } = node;
        Self { id, kind: kind.into(), title, detail, x, y, width: WIDTH, height: HEIGHT, reachable }
    }
}

impl From<Edge> for pb::GraphEdge {
    fn from(edge: Edge) -> Self {
        let Edge { from, to, exit, label } = edge;
        Self { from, to, exit, label }
    }
}
