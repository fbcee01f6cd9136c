//! Media's face on the wire.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use kit::time::to_proto;
use kit::{Caller, Fault, PageRequest};
use proto::content as pb;
use proto::content::media_service_server::{MediaService, MediaServiceServer};
use proto::content::open_media_response::Part as Sent;
use proto::content::upload_media_request::Part as Wired;
use store::Stored;
use tonic::{Request, Response, Status, Streaming};

use super::intake::{Head, Part};
use super::model::{Media, State, Use, Variant, address};
use super::ops::MediaRoom;
use super::serve::{Asked, Opened};
use super::uses::Uses;
use crate::error::Error;
use crate::flow_session::{Tokens, Use as Purpose};
use crate::text::rpc::{maybe_text, to_text};
use crate::wire::{Reply, Wire, mirror, names, reply};

mirror!(State => pb::MediaState { Uploading, Scanning, Ready, Rejected, Archived });

/// The room's gRPC service; `uses` say where something is used, `tokens` who may look at what is not public yet.
pub fn service(room: MediaRoom, uses: Uses, tokens: Tokens) -> MediaServiceServer<Rpc> {
    MediaServiceServer::new(Rpc { room, uses, tokens })
}

/// The room behind its gRPC service.
pub struct Rpc {
    pub room: MediaRoom,
    pub uses: Uses,
    pub tokens: Tokens,
}

#[tonic::async_trait]
impl MediaService for Rpc {
    type OpenMediaStream = Pin<Box<dyn Stream<Item = Result<pb::OpenMediaResponse, Status>> + Send>>;

    async fn list_media(&self, request: Request<pb::ListMediaRequest>) -> Reply<pb::ListMediaResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListMediaRequest { limit, cursor, state } = request.into_inner();
        let page = self.room.list(&caller, State::of_wire(state), &PageRequest::new(limit, cursor)).await;
        reply(page.map(|page| pb::ListMediaResponse {
            items: page.items.into_iter().map(|m| to_media(m, Vec::new())).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn get_media(&self, request: Request<pb::GetMediaRequest>) -> Reply<pb::Media> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let found = async {
            let media = self.room.get(&caller, &id).await?;
            let uses = self.uses.of(&media.scope, &media).await?;
            Ok::<_, Error>(to_media(media, uses))
        };
        reply(found.await)
    }

    async fn update_media(&self, request: Request<pb::UpdateMediaRequest>) -> Reply<pb::Media> {
        let caller = Caller::of(&request)?;
        let pb::UpdateMediaRequest { id, version, name, alt, update_mask } = request.into_inner();
        let changed = async {
            let said = maybe_text("alt", alt)?;
            let alt = (said.is_some() || names(update_mask.as_ref(), "alt")).then_some(said);
            self.room.edit(&caller, &id, version, name, alt).await
        };
        reply(changed.await.map(|m| to_media(m, Vec::new())))
    }

    async fn delete_media(&self, request: Request<pb::DeleteMediaRequest>) -> Reply<pb::Media> {
        let caller = Caller::of(&request)?;
        let id = request.into_inner().id;
        let gone = async {
            let media = self.room.get(&caller, &id).await?;
            self.uses.none(&caller, &media).await?;
            self.room.archive(&caller, &media).await
        };
        reply(gone.await.map(|m| to_media(m, Vec::new())))
    }

    async fn upload_media(&self, request: Request<Streaming<pb::UploadMediaRequest>>) -> Reply<pb::Media> {
        let caller = Caller::of(&request)?;
        let mut parts = request.into_inner();
        let head = match parts.message().await?.and_then(|p| p.part) {
            Some(Wired::Head(pb::MediaHead { name, content_type, alt })) => {
                maybe_text("alt", alt).map(|alt| Head { name, declared: content_type, alt })
            }
            _ => Err(Fault::field("file", "required", "say what the file is before its bytes")),
        };
        let parts = parts.map(|message| match message?.part {
            Some(Wired::Chunk(bytes)) => Ok(Part::Chunk(bytes)),
            Some(Wired::Scanning(_)) => Ok(Part::Scanning),
            Some(Wired::End(_)) => Ok(Part::End),
            Some(Wired::Rejected(why)) => Ok(Part::Rejected(why)),
            Some(Wired::Head(_)) | None => Err(Status::invalid_argument("only bytes after the head")),
        });
        let taken = async { self.room.upload(&caller, head?, parts).await };
        reply(taken.await.map(|m| to_media(m, Vec::new())))
    }

    async fn open_media(&self, request: Request<pb::OpenMediaRequest>) -> Reply<Self::OpenMediaStream> {
        let pb::OpenMediaRequest { hash, head, first, last, suffix, look } = request.into_inner();
        let asked = match (head, first, suffix) {
            (true, None, None) => Asked::Nothing,
            (_, Some(first), _) => Asked::From(first, last),
            (_, None, Some(suffix)) => Asked::Suffix(suffix),
            (false, None, None) => Asked::All,
        };
        let opened = async {
            if look.is_empty() {
                return self.room.open(&hash, asked).await;
            }
            let claims = self.tokens.open(&look, self.room.clock.now())?;
            if claims.purpose != Purpose::Look {
                return Err(Fault::not_found("picture").into());
            }
            self.room.look_at(&claims.scope(), &hash, asked).await
        };
        let opened = opened.await.map_err(|e| kit::error::status(&e))?;
        let Opened { content_type, size, range, name, body } = opened;
        let unsatisfiable = range.is_none();
        let range = range.unwrap_or_default();
        let info = pb::MediaInfo {
            content_type,
            size,
            offset: range.start,
            length: range.end - range.start,
            unsatisfiable,
            name,
        };
        let first = futures_util::stream::once(async move { Ok(piece(Sent::Info(info))) });
        let body = body.filter(|_| !head).unwrap_or_else(|| futures_util::stream::empty().boxed());
        let rest = body.map(|chunk| {
            chunk.map(|bytes| piece(Sent::Chunk(bytes))).map_err(|e| {
                tracing::warn!(error = %e, "a picture broke off: {e}");
                Status::unavailable("the object store does not answer")
            })
        });
        Ok(Response::new(Box::pin(first.chain(rest))))
    }
}

fn piece(part: Sent) -> pb::OpenMediaResponse {
    pb::OpenMediaResponse { part: Some(part) }
}

fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or_default()
}

fn to_media(stored: Stored<Media>, uses: Vec<Use>) -> pb::Media {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let Media {
        name,
        state,
        content_type,
        bytes,
        width,
        height,
        hash,
        alt,
        variants,
        hashes: _,
        rejection,
        published_at,
        emptied: _,
    } = body;
    let variants = variants.into_iter().map(|Variant { width, height, bytes, content_type, hash }| {
        let (bytes, url) = (unsigned(bytes), address(&hash));
        pb::MediaVariant { width, height, bytes, content_type, hash, url }
    });
    let uses = uses.into_iter().map(|Use { kind, id, name, published }| pb::MediaUse {
        kind: kind.to_owned(),
        id,
        name,
        published,
    });
    pb::Media {
        id,
        name,
        state: state.to_wire(),
        content_type,
        bytes: unsigned(bytes),
        width,
        height,
        url: if state == State::Ready { address(&hash) } else { String::new() },
        hash,
        alt: alt.map(to_text),
        variants: variants.collect(),
        uses: uses.collect(),
        rejection,
        published_at: published_at.map(to_proto),
        created_at: Some(to_proto(created_at)),
        updated_at: Some(to_proto(updated_at)),
        version,
    }
}
