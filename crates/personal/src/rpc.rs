//! Handing out what is kept of a person.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use kit::{Caller, Code, Fault, Role};
use proto::google::api::HttpBody;
use proto::personal::CollectPersonalDataRequest;
use proto::personal::personal_data_service_server::PersonalDataService;
use tonic::{Request, Response, Status};

use crate::desk::Desk;
use crate::order::{Kind, Order, Whose};
use crate::shelf::file;

pub struct Rpc(pub Desk);

#[tonic::async_trait]
impl PersonalDataService for Rpc {
    type CollectPersonalDataStream = BoxStream<'static, Result<HttpBody, Status>>;

    async fn collect_personal_data(
        &self,
        request: Request<CollectPersonalDataRequest>,
    ) -> Result<Response<Self::CollectPersonalDataStream>, Status> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?.clone();
        let may = matches!(caller.role, Role::RetAdmin | Role::KaleAdmin | Role::Machine)
            && caller.sees_personal_data();
        if !may {
            let text = "personal data is not shown to you";
            return Err(kit::error::status(&Fault::new(Code::Forbidden, "personal_data_hidden", text)));
        }
        let CollectPersonalDataRequest { customer_ids, external_ids } = request.into_inner();
        let whose = Whose { customers: customer_ids, external: external_ids };
        let order = Order { request_id: String::new(), kind: Kind::Access, scope, whose };
        let lost = |e: anyhow::Error| kit::error::status(&Fault::internal(e));
        let shelves = self.0.shelves(&order).await.map_err(lost)?;
        let pieces = file(self.0.db(), &order.scope, shelves).map(move |piece| {
            let data = piece.map_err(lost)?;
            Ok(HttpBody { data, ..HttpBody::default() })
        });
        let head = HttpBody { content_type: "application/json".into(), ..HttpBody::default() };
        Ok(Response::new(stream::once(std::future::ready(Ok(head))).chain(pieces).boxed()))
    }
}
