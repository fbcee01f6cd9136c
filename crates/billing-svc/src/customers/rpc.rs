//! Customers over gRPC. The one place that masks personal fields.

use std::collections::BTreeMap;

use kit::{Caller, FieldError, PageRequest, Timestamp};
use proto::billing as pb;
use proto::billing::customer_service_server::CustomerService;
use serde_json::Value;
use store::Stored;
use tonic::{Request, Response, Status};

use super::import::Imported;
use super::model::{Attribute, Customer, Definition, EXTERNAL, Said, Source, State, Type};
use super::ops::{Customers, Definitions};
use super::store::Filter;
use crate::error::Error;
use crate::events::money;

pub(crate) struct Rpc(pub Customers);

type Reply<T> = Result<Response<T>, Status>;

/// What stands in place of a personal field.
const MASK: &str = "•••";

fn wrong(e: Error) -> Status {
    kit::error::status(&e)
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

#[tonic::async_trait]
impl CustomerService for Rpc {
    async fn list_customers(
        &self,
        request: Request<pb::ListCustomersRequest>,
    ) -> Reply<pb::ListCustomersResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCustomersRequest { limit, cursor, state, tag, external_id, email } = request.into_inner();
        let filter = Filter {
            state: state_from(state),
            tag: given(tag),
            external_id: given(external_id),
            email: given(email).map(|e| e.trim().to_lowercase()),
        };
        let page = self.0.list(&caller, &filter, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let mask = self.masked_keys(&caller).await?;
        let now = self.0.now();
        let page = page.map(|c| customer_to(c, mask.as_ref(), now, false));
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListCustomersResponse { items: page.items, next_cursor }))
    }

    async fn upsert_customer(&self, request: Request<pb::UpsertCustomerRequest>) -> Reply<pb::Customer> {
        let caller = Caller::of(&request)?;
        let (said, unreadable) = said_from(request.into_inner());
        if !unreadable.is_empty() {
            return Err(wrong(Error::Wrong(unreadable)));
        }
        let stored = self.0.upsert(&caller, &said).await.map_err(wrong)?;
        self.reply(&caller, stored).await
    }

    async fn get_customer(&self, request: Request<pb::GetCustomerRequest>) -> Reply<pb::Customer> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let stored = self.0.get(scope, &request.get_ref().id).await.map_err(wrong)?;
        self.reply(&caller, stored).await
    }

    async fn update_customer(&self, request: Request<pb::UpdateCustomerRequest>) -> Reply<pb::Customer> {
        let caller = Caller::of(&request)?;
        let pb::UpdateCustomerRequest {
            id,
            version,
            email,
            name,
            locale,
            country,
            currency,
            owner,
            update_mask: _,
        } = request.into_inner();
        let said = Said { email, name, locale, country, currency, owner, ..Said::default() };
        let stored = self.0.update(&caller, &id, version, &said).await.map_err(wrong)?;
        self.reply(&caller, stored).await
    }

    async fn tag_customer(&self, request: Request<pb::TagCustomerRequest>) -> Reply<pb::Customer> {
        let caller = Caller::of(&request)?;
        let pb::TagCustomerRequest { id, add, remove } = request.into_inner();
        let stored = self.0.tag(&caller, &id, &add, &remove).await.map_err(wrong)?;
        self.reply(&caller, stored).await
    }

    async fn put_customer_attributes(
        &self,
        request: Request<pb::PutCustomerAttributesRequest>,
    ) -> Reply<pb::Customer> {
        let caller = Caller::of(&request)?;
        let pb::PutCustomerAttributesRequest { id, attributes, observed_at } = request.into_inner();
        let observed_at = observed_at.as_ref().and_then(kit::time::from_proto);
        let values = values_from(attributes);
        let stored = self.0.put_attributes(&caller, &id, &values, observed_at).await.map_err(wrong)?;
        self.reply(&caller, stored).await
    }

    async fn import_customer_data(
        &self,
        request: Request<pb::ImportCustomerDataRequest>,
    ) -> Reply<pb::ImportCustomerDataResponse> {
        let caller = Caller::of(&request)?;
        let rows = request.into_inner().rows.into_iter().map(said_from).collect();
        let Imported { created, updated, unchanged, errors } =
            self.0.import(&caller, rows).await.map_err(wrong)?;
        let error = |(index, f): (u32, FieldError)| {
            let FieldError { field, code, message } = f;
            proto::common::ItemError { index, field, code, message }
        };
        let errors = errors.into_iter().map(error).collect();
        Ok(Response::new(pb::ImportCustomerDataResponse { created, updated, unchanged, errors }))
    }

    async fn list_attribute_definitions(
        &self,
        request: Request<pb::ListAttributeDefinitionsRequest>,
    ) -> Reply<pb::ListAttributeDefinitionsResponse> {
        let caller = Caller::of(&request)?;
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        let pb::ListAttributeDefinitionsRequest { limit, cursor } = request.into_inner();
        let page = self.0.list_definitions(scope, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let page = page.map(definition_to);
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListAttributeDefinitionsResponse { items: page.items, next_cursor }))
    }

    async fn create_attribute_definition(
        &self,
        request: Request<pb::CreateAttributeDefinitionRequest>,
    ) -> Reply<pb::AttributeDefinition> {
        let caller = Caller::of(&request)?;
        let pb::CreateAttributeDefinitionRequest { key, r#type, source, personal, in_rules, in_text } =
            request.into_inner();
        let all = [Type::Bool, Type::Int, Type::Decimal, Type::Text, Type::Date, Type::List];
        let Some(r#type) = all.into_iter().find(|t| i32::from(type_to(*t)) == r#type) else {
            return Err(wrong(Error::field("type", "required", "say which type the values have")));
        };
        let all = [Source::Provider, Source::Api, Source::Upload, Source::Ticket, Source::Derived];
        let source = all.into_iter().find(|s| i32::from(source_to(*s)) == source).unwrap_or(Source::Api);
        let definition = Definition { key, r#type, source, personal, in_rules, in_text };
        let stored = self.0.define(&caller, definition).await.map_err(wrong)?;
        Ok(Response::new(definition_to(stored)))
    }
}

impl Rpc {
    async fn reply(&self, caller: &Caller, stored: Stored<Customer>) -> Reply<pb::Customer> {
        let mask = self.masked_keys(caller).await?;
        Ok(Response::new(customer_to(stored, mask.as_ref(), self.0.now(), true)))
    }

    /// The attribute definitions a mask needs, for callers who may not see personal data; none for everyone else.
    async fn masked_keys(&self, caller: &Caller) -> Result<Option<Definitions>, Status> {
        if caller.sees_personal_data() {
            return Ok(None);
        }
        let scope = caller.scope().map_err(|f| kit::error::status(&f))?;
        self.0.definitions(scope).await.map(Some).map_err(wrong)
    }
}

fn values_from(fields: Option<prost_types::Struct>) -> BTreeMap<String, Value> {
    let fields = fields.map(|s| s.fields).unwrap_or_default();
    fields.into_iter().map(|(key, value)| (key, proto::json::from_wire(value))).collect()
}

/// What a request says, and what of it cannot be read.
fn said_from(request: pb::UpsertCustomerRequest) -> (Said, Vec<FieldError>) {
    let pb::UpsertCustomerRequest {
        external_id,
        email,
        name,
        locale,
        country,
        currency,
        owner,
        attributes,
        tags,
        provider_ids,
    } = request;
    let mut unreadable = Vec::new();
    if kit::id::is("cus", &external_id) {
        let text = "looks like an id of ours; give the company's own";
        unreadable.push(FieldError::new("external_id", "reserved", text));
    }
    let said = Said {
        external_id,
        email,
        name,
        locale,
        country,
        currency,
        owner,
        attributes: values_from(attributes),
        tags,
        links: provider_ids.into_iter().collect(),
        observed_at: None,
    };
    (said, unreadable)
}

/// A customer as its caller may see it; `mask` is given for those who may not see personal data, `origins` asks for where
/// attributes come from.
pub(crate) fn customer_to(
    stored: Stored<Customer>,
    mask: Option<&Definitions>,
    now: Timestamp,
    origins: bool,
) -> pb::Customer {
    let Stored { id, version, created_at, updated_at, body, .. } = stored;
    let other_external_ids = body.names(EXTERNAL).skip(1).map(ToOwned::to_owned).collect();
    let Customer {
        external_id,
        email,
        name,
        locale,
        country,
        currency,
        owner,
        tags,
        attributes,
        links,
        link_versions: _,
        state,
        mrr,
        subscription_count,
        at_risk,
        lifetime,
        also: _,
        merged_into: _,
        restricted,
        forgotten: _,
    } = body;
    let personal = |text: String| if mask.is_some() && !text.is_empty() { MASK.to_owned() } else { text };
    // An attribute nobody declared any more counts as personal.
    let shown = |key: &String| mask.is_none_or(|all| all.get(key).is_some_and(|d| !d.personal));
    let values = || attributes.iter().filter(|(key, a)| !a.value.is_null() && shown(key));
    let fields = values().map(|(key, a)| (key.clone(), proto::json::to_wire(&a.value))).collect();
    let origin = |a: &Attribute| pb::AttributeOrigin {
        source: source_to(a.source).into(),
        observed_at: Some(kit::time::to_proto(a.observed_at)),
    };
    let attribute_origins = values().filter(|_| origins).map(|(key, a)| (key.clone(), origin(a))).collect();
    pb::Customer {
        id,
        external_id,
        email: personal(email),
        name: personal(name),
        locale,
        country,
        currency,
        state: state_to(state).into(),
        tags,
        owner,
        attributes: Some(prost_types::Struct { fields }),
        mrr: mrr.map(money),
        subscription_count,
        at_risk,
        provider_ids: links.into_iter().collect(),
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
        attribute_origins,
        lifetime_value: mrr.map(|m| money(lifetime.value(m.currency, now))),
        other_external_ids,
        restricted,
    }
}

fn definition_to(stored: Stored<Definition>) -> pb::AttributeDefinition {
    let Stored { id, version, created_at, body, .. } = stored;
    let Definition { key, r#type, source, personal, in_rules, in_text } = body;
    pb::AttributeDefinition {
        id,
        key,
        r#type: type_to(r#type).into(),
        source: source_to(source).into(),
        personal,
        in_rules,
        in_text,
        created_at: Some(kit::time::to_proto(created_at)),
        version,
    }
}

fn state_to(state: State) -> pb::CustomerState {
    match state {
        State::Prospect => pb::CustomerState::Prospect,
        State::Active => pb::CustomerState::Active,
        State::Saved => pb::CustomerState::Saved,
        State::Churned => pb::CustomerState::Churned,
        State::Reactivated => pb::CustomerState::Reactivated,
        State::Erased => pb::CustomerState::Erased,
    }
}

pub(crate) fn state_from(state: i32) -> Option<State> {
    let all =
        [State::Prospect, State::Active, State::Saved, State::Churned, State::Reactivated, State::Erased];
    all.into_iter().find(|s| i32::from(state_to(*s)) == state)
}

fn type_to(t: Type) -> pb::AttributeType {
    match t {
        Type::Bool => pb::AttributeType::Bool,
        Type::Int => pb::AttributeType::Int,
        Type::Decimal => pb::AttributeType::Decimal,
        Type::Text => pb::AttributeType::Text,
        Type::Date => pb::AttributeType::Date,
        Type::List => pb::AttributeType::List,
    }
}

fn source_to(source: Source) -> pb::AttributeSource {
    match source {
        Source::Provider => pb::AttributeSource::Provider,
        Source::Api => pb::AttributeSource::Api,
        Source::Upload => pb::AttributeSource::Upload,
        Source::Ticket => pb::AttributeSource::Ticket,
        Source::Derived => pb::AttributeSource::Derived,
    }
}
