//! Templates' face on the wire.

use kit::time::to_proto;
use kit::{Caller, Fault, PageRequest};
use proto::content as pb;
use proto::content::template_service_server::{TemplateService, TemplateServiceServer};
use tonic::Request;

use super::model::{Layout, Place, TemplateContent, TemplateHead, TemplateKind};
use super::ops::Templates;
use super::promote::{Promoted, Promotion};
use crate::error::Error;
use crate::text::rpc::{findings, locales, text, to_text, variables};
use crate::versioned::{Filter, Object, View, rpc as versions};
use crate::wire::{Reply, Wire, enum_of, enum_or, mirror, reply};

mirror!(TemplateKind => pb::TemplateKind { FlowPage, HostedPage, Email, SlackMessage, TicketNote });
mirror!(Layout => pb::TemplateLayout { Single, Split });

/// The room's gRPC service.
pub fn service(room: Templates) -> TemplateServiceServer<Rpc> {
    TemplateServiceServer::new(Rpc(room))
}

/// The room behind its gRPC service.
pub struct Rpc(pub Templates);

#[tonic::async_trait]
impl TemplateService for Rpc {
    async fn list_templates(
        &self,
        request: Request<pb::ListTemplatesRequest>,
    ) -> Reply<pb::ListTemplatesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListTemplatesRequest { limit, cursor, kind, archived } = request.into_inner();
        let facet = TemplateKind::of_wire(kind).map(TemplateKind::as_str);
        let filter = Filter { archived, facet, holding: None };
        let page = self.0.objects.list(&caller, filter, &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListTemplatesResponse {
            items: page.items.into_iter().map(Into::into).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_template(&self, request: Request<pb::CreateTemplateRequest>) -> Reply<pb::Template> {
        let caller = Caller::of(&request)?;
        let pb::CreateTemplateRequest { key, name, content: given } = request.into_inner();
        let made = async { self.0.create(&caller, key, name, content(given)?).await };
        reply(made.await.map(Into::into))
    }

    async fn get_template(&self, request: Request<pb::GetContentRequest>) -> Reply<pb::Template> {
        versions::get(&self.0.objects, request).await
    }

    async fn update_template(&self, request: Request<pb::UpdateTemplateRequest>) -> Reply<pb::Template> {
        let caller = Caller::of(&request)?;
        let pb::UpdateTemplateRequest { id, version, name, content: given, update_mask: _ } =
            request.into_inner();
        let changed = async {
            let given = given.map(|c| content(Some(c))).transpose()?;
            let change = |object: &mut Object<TemplateHead, TemplateContent>| {
                object.name = name.unwrap_or(std::mem::take(&mut object.name));
                given.map_or(Ok(()), |content| object.edit(content))
            };
            self.0.objects.edit(&caller, &id, version, change).await
        };
        reply(changed.await.map(Into::into))
    }

    async fn submit_template(&self, request: Request<pb::SubmitContentRequest>) -> Reply<pb::Template> {
        versions::submit(&self.0.objects, request).await
    }

    async fn publish_template(&self, request: Request<pb::PublishContentRequest>) -> Reply<pb::Template> {
        let caller = Caller::of(&request)?;
        let pb::PublishContentRequest { id, version, note } = request.into_inner();
        reply(self.0.publish(&caller, &id, version, note).await.map(Into::into))
    }

    async fn rollback_template(&self, request: Request<pb::RollbackContentRequest>) -> Reply<pb::Template> {
        versions::rollback(&self.0.objects, request).await
    }

    async fn archive_template(&self, request: Request<pb::ArchiveContentRequest>) -> Reply<pb::Template> {
        versions::archive(&self.0.objects, request).await
    }

    async fn promote_templates(&self, request: Request<pb::PromoteTemplatesRequest>) -> Reply<pb::Promotion> {
        let caller = Caller::of(&request)?;
        let pb::PromoteTemplatesRequest { ids, replace, publish, dry_run, note } = request.into_inner();
        let how = Promotion { replace: replace.into_iter().collect(), publish, dry_run, note };
        let promoted = Box::pin(self.0.promote(&caller, &ids, &how)).await;
        reply(
            promoted
                .map(|items| pb::Promotion { dry_run, items: items.into_iter().map(Into::into).collect() }),
        )
    }

    async fn list_template_versions(&self, request: Request<pb::ContentIdRequest>) -> Reply<pb::ReleaseList> {
        versions::list(&self.0.objects, request).await
    }

    async fn diff_template_versions(
        &self,
        request: Request<pb::DiffContentRequest>,
    ) -> Reply<pb::VersionDiff> {
        let caller = Caller::of(&request)?;
        let pb::DiffContentRequest { id, n, m } = request.into_inner();
        reply(self.0.objects.diff(&caller, &id, n, m).await.map(|changes| versions::diff(n, m, changes)))
    }
}

impl From<Promoted> for pb::PromotedContent {
    fn from(promoted: Promoted) -> Self {
        let Promoted { kind, from_id, from_number, name, id, act, state, changes } = promoted;
        Self {
            kind: kind.into(),
            from_id,
            from_number,
            name,
            id,
            action: act.as_str().into(),
            state: state.map_or(0, Wire::to_wire),
            changes: changes.into_iter().map(Into::into).collect(),
        }
    }
}

fn content(given: Option<pb::TemplateContent>) -> Result<TemplateContent, Error> {
    let given = given.ok_or_else(|| Fault::field("content", "required", "the content is required"))?;
    let pb::TemplateContent { kind, layout, title, theme, places, variables: declared, locales: languages } =
        given;
    Ok(TemplateContent {
        kind: enum_of("content.kind", kind)?,
        layout: enum_or(layout, Layout::Single),
        title: text("content.title", title)?,
        theme: theme.into_iter().collect(),
        places: places.into_iter().map(|pb::Place { name, card_ids }| Place { name, card_ids }).collect(),
        variables: variables("content.variables", declared)?,
        locales: locales("content.locales", languages)?,
    })
}

impl From<View<TemplateContent>> for pb::Template {
    fn from(view: View<TemplateContent>) -> Self {
        let View {
            id,
            name,
            head: TemplateHead { key },
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
            key,
            name,
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

impl From<TemplateContent> for pb::TemplateContent {
    fn from(content: TemplateContent) -> Self {
        let TemplateContent { kind, layout, title, theme, places, variables, locales } = content;
        Self {
            kind: kind.to_wire(),
            layout: layout.to_wire(),
            title: Some(to_text(title)),
            theme: theme.into_iter().collect(),
            places: places.into_iter().map(|Place { name, card_ids }| pb::Place { name, card_ids }).collect(),
            variables: variables.into_iter().map(Into::into).collect(),
            locales,
        }
    }
}
