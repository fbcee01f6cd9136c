//! The viewer's face on the wire.

use kit::time::to_proto;
use kit::{Caller, PageRequest};
use proto::content as pb;
use proto::content::template_viewer_service_server::{TemplateViewerService, TemplateViewerServiceServer};
use proto::content::{preview_template_request, render_card_request};
use proto::google::api::HttpBody;
use store::Stored;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response};

use super::model::{Device, Look, ShareLink};
use super::ops::{Shared, TemplateViewer};
use super::stage::{Shown, What};
use crate::error::Error;
use crate::flow_session::{answers_of, screen_to_wire};
use crate::render;
use crate::text::rpc::findings;
use crate::wire::{Reply, enum_or, mirror, reply, some};
use crate::workflow_viewer::{Sample, made_up};

mirror!(Device => pb::PreviewDevice { Phone, Tablet, Desktop });

/// The room's gRPC service; `public_url` is where readers of links reach the gateway.
pub fn service(room: TemplateViewer, public_url: String) -> TemplateViewerServiceServer<Rpc> {
    TemplateViewerServiceServer::new(Rpc { room, public_url })
}

/// The room behind its gRPC service.
pub struct Rpc {
    pub room: TemplateViewer,
    pub public_url: String,
}

#[tonic::async_trait]
impl TemplateViewerService for Rpc {
    async fn preview_template(&self, request: Request<pb::PreviewTemplateRequest>) -> Reply<pb::Preview> {
        use preview_template_request::Who;
        let caller = Caller::of(&request)?;
        let pb::PreviewTemplateRequest { template_id, version, drafts, setting, who } = request.into_inner();
        let who = who.map(|who| match who {
            Who::Customer(customer) => real(customer),
            Who::Sample(sample) => made_up(sample),
        });
        let (look, answers) = look(setting);
        let what = What::template(&template_id, version, drafts);
        let shown = self.room.preview(&caller, &what, &look, who, |page| answers_of(page, answers)).await;
        reply(shown.map(preview))
    }

    async fn render_card(&self, request: Request<pb::RenderCardRequest>) -> Reply<pb::Preview> {
        use render_card_request::Who;
        let caller = Caller::of(&request)?;
        let pb::RenderCardRequest { id, version, drafts, setting, who } = request.into_inner();
        let who = who.map(|who| match who {
            Who::Customer(customer) => real(customer),
            Who::Sample(sample) => made_up(sample),
        });
        let (look, answers) = look(setting);
        let what = What::card(&id, version, drafts);
        let shown = self.room.preview(&caller, &what, &look, who, |page| answers_of(page, answers)).await;
        reply(shown.map(preview))
    }

    async fn create_share_link(&self, request: Request<pb::CreateShareLinkRequest>) -> Reply<pb::ShareLink> {
        let caller = Caller::of(&request)?;
        let pb::CreateShareLinkRequest { template_id, version, drafts, setting, sample, days } =
            request.into_inner();
        let (look, answers) = look(setting);
        let what = What::template(&template_id, version, drafts);
        let who = sample.map(made_up);
        let shared = self.room.share(&caller, &what, look, who, days, |page| answers_of(page, answers)).await;
        reply(shared.map(|(stored, token)| {
            let url = format!("{}/v1/template-viewer/shared/{token}", self.public_url.trim_end_matches('/'));
            pb::ShareLink { url, ..link(stored) }
        }))
    }

    async fn list_share_links(
        &self,
        request: Request<pb::ListShareLinksRequest>,
    ) -> Reply<pb::ListShareLinksResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListShareLinksRequest { limit, cursor, template_id } = request.into_inner();
        let template = some(template_id);
        let page = self.room.links(&caller, template.as_deref(), &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListShareLinksResponse {
            items: page.items.into_iter().map(link).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn revoke_share_link(&self, request: Request<pb::RevokeShareLinkRequest>) -> Reply<pb::ShareLink> {
        let caller = Caller::of(&request)?;
        reply(self.room.revoke(&caller, &request.into_inner().id).await.map(link))
    }

    async fn get_shared_preview(&self, request: Request<pb::GetSharedPreviewRequest>) -> Reply<HttpBody> {
        let token = request.into_inner().token;
        let shown = async {
            Ok::<_, Error>(match self.room.shared(&token).await? {
                Shared::Page(shown) => (200, shown.html),
                Shared::Unknown => (404, render::unshared("en")?),
                Shared::Over => (410, render::unshared("en")?),
            })
        };
        let (status, html) = reply(shown.await)?.into_inner();
        let mut answer = Response::new(HttpBody {
            content_type: "text/html; charset=utf-8".into(),
            data: html.into_bytes().into(),
            extensions: Vec::new(),
        });
        let headers = answer.metadata_mut();
        headers.insert("x-http-code", MetadataValue::from(status));
        headers.insert("content-security-policy", MetadataValue::from_static(render::PREVIEW_POLICY));
        headers.insert("cache-control", MetadataValue::from_static("no-store"));
        Ok(answer)
    }
}

fn real(customer: pb::SimulatedCustomer) -> Sample {
    let pb::SimulatedCustomer { customer, subscription } = customer;
    Sample::Real { customer, subscription }
}

fn look(setting: Option<pb::PreviewSetting>) -> (Look, Vec<pb::FlowAnswer>) {
    let pb::PreviewSetting { locale, device, region, offer_id, answers, hosted_template_id } =
        setting.unwrap_or_default();
    let look = Look {
        locale,
        device: enum_or(device, Device::default()),
        region,
        offer_id: some(offer_id),
        hosted_template_id: some(hosted_template_id),
    };
    (look, answers)
}

fn preview(shown: Shown) -> pb::Preview {
    let Shown { read, screen, html, size: (width, height), rule, hidden, warnings } = shown;
    pb::Preview {
        screen: Some(screen_to_wire(&read, screen, String::new())),
        html,
        content_security_policy: render::PREVIEW_POLICY.into(),
        width,
        height,
        rule: Some(rule.into()),
        hidden_card_ids: hidden,
        warnings: findings(warnings),
    }
}

fn link(stored: Stored<ShareLink>) -> pb::ShareLink {
    let Stored { id, created_at, body, .. } = stored;
    let ShareLink {
        token_hash: _,
        template_id,
        version,
        drafts: _,
        look: _,
        known: _,
        author,
        expires_at,
        revoked_at,
    } = body;
    pb::ShareLink {
        id,
        template_id,
        version,
        url: String::new(),
        author,
        created_at: Some(to_proto(created_at)),
        expires_at: Some(to_proto(expires_at)),
        revoked_at: revoked_at.map(to_proto),
    }
}
