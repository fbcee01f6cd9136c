//! The gRPC face of personas and their categories.

use kit::error::status;
use kit::time::to_proto;
use kit::{Caller, PageRequest};
use proto::analytics as pb;
use proto::common::Empty;
use store::Stored;
use tonic::{Request, Response, Status};

use super::category::Categories;
use super::model::{Category, Change, GuardRails, Persona, REFRESH_HOURS, Standing, Status as State};
use super::ops::{Personas, Preview};
use super::rules_proto;
use crate::error::Error;
use crate::facts::Customer;

pub struct Rpc {
    pub personas: Personas,
    pub categories: Categories,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl pb::persona_service_server::PersonaService for Rpc {
    async fn list_personas(
        &self,
        request: Request<pb::ListPersonasRequest>,
    ) -> Reply<pb::ListPersonasResponse> {
        let caller = Caller::of(&request)?;
        let wanted = request.get_ref().status();
        let pb::ListPersonasRequest { limit, cursor, status: _ } = request.into_inner();
        let listed = async {
            let page = PageRequest::new(limit, cursor);
            self.personas.list(caller.scope()?, state(wanted), &page).await
        };
        let page = listed.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(personas(page)))
    }

    async fn create_persona(&self, request: Request<pb::CreatePersonaRequest>) -> Reply<pb::Persona> {
        let caller = Caller::of(&request)?;
        let created = async {
            let persona = Persona::try_from(request.into_inner())?;
            self.personas.create(&caller, persona).await
        };
        Ok(Response::new(persona(created.await.map_err(|e: Error| status(&e))?)))
    }

    async fn get_persona(&self, request: Request<pb::GetPersonaRequest>) -> Reply<pb::Persona> {
        let caller = Caller::of(&request)?;
        let got = async { self.personas.get(caller.scope()?, &request.get_ref().id).await };
        Ok(Response::new(persona(got.await.map_err(|e: Error| status(&e))?)))
    }

    async fn update_persona(&self, request: Request<pb::UpdatePersonaRequest>) -> Reply<pb::Persona> {
        let caller = Caller::of(&request)?;
        let updated = async {
            let (id, version, change) = change(request.into_inner())?;
            self.personas.update(&caller, &id, version, change).await
        };
        Ok(Response::new(persona(updated.await.map_err(|e: Error| status(&e))?)))
    }

    async fn preview_persona(
        &self,
        request: Request<pb::PreviewPersonaRequest>,
    ) -> Reply<pb::PersonaPreview> {
        let caller = Caller::of(&request)?;
        let previewed = async {
            let rule = rules_proto::read(request.into_inner().rule, "rule")?;
            self.personas.preview(caller.scope()?, &rule).await
        };
        Ok(Response::new(previewed.await.map_err(|e: Error| status(&e))?.into()))
    }

    async fn activate_persona(&self, request: Request<pb::ActivatePersonaRequest>) -> Reply<pb::Persona> {
        let caller = Caller::of(&request)?;
        let moved = self.personas.enter(&caller, &request.get_ref().id, State::Active).await;
        Ok(Response::new(persona(moved.map_err(|e| status(&e))?)))
    }

    async fn disable_persona(&self, request: Request<pb::DisablePersonaRequest>) -> Reply<pb::Persona> {
        let caller = Caller::of(&request)?;
        let moved = self.personas.enter(&caller, &request.get_ref().id, State::Disabled).await;
        Ok(Response::new(persona(moved.map_err(|e| status(&e))?)))
    }

    async fn archive_persona(&self, request: Request<pb::ArchivePersonaRequest>) -> Reply<pb::Persona> {
        let caller = Caller::of(&request)?;
        let moved = self.personas.enter(&caller, &request.get_ref().id, State::Archived).await;
        Ok(Response::new(persona(moved.map_err(|e| status(&e))?)))
    }

    async fn order_personas(
        &self,
        request: Request<pb::OrderPersonasRequest>,
    ) -> Reply<pb::ListPersonasResponse> {
        let caller = Caller::of(&request)?;
        let page = self.personas.order(&caller, &request.get_ref().ids).await.map_err(|e| status(&e))?;
        Ok(Response::new(personas(page)))
    }

    async fn refresh_personas(&self, request: Request<pb::RefreshPersonasRequest>) -> Reply<pb::RefreshJob> {
        let caller = Caller::of(&request)?;
        let id = self.personas.refresh(&caller).await.map_err(|e| status(&e))?;
        Ok(Response::new(pb::RefreshJob { id, state: "queued".into() }))
    }

    async fn list_members(&self, request: Request<pb::ListMembersRequest>) -> Reply<pb::ListMembersResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListMembersRequest { id, limit, cursor } = request.into_inner();
        let listed =
            async { self.personas.members(caller.scope()?, &id, &PageRequest::new(limit, cursor)).await };
        let page = listed.await.map_err(|e: Error| status(&e))?;
        let items = page.items.into_iter().map(|c| member(&id, c)).collect();
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListMembersResponse { items, next_cursor }))
    }

    async fn list_customer_personas(
        &self,
        request: Request<pb::ListCustomerPersonasRequest>,
    ) -> Reply<pb::ListCustomerPersonasResponse> {
        let caller = Caller::of(&request)?;
        let listed = async { self.personas.of_customer(caller.scope()?, &request.get_ref().id).await };
        let (customer, personas) = listed.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(pb::ListCustomerPersonasResponse { items: entries(&customer, &personas) }))
    }

    async fn list_categories(
        &self,
        request: Request<pb::ListCategoriesRequest>,
    ) -> Reply<pb::ListCategoriesResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListCategoriesRequest { limit, cursor } = request.into_inner();
        let listed = async { self.categories.list(caller.scope()?, &PageRequest::new(limit, cursor)).await };
        let page = listed.await.map_err(|e: Error| status(&e))?;
        Ok(Response::new(pb::ListCategoriesResponse {
            items: page.items.into_iter().map(category).collect(),
            next_cursor: page.next_cursor.unwrap_or_default(),
        }))
    }

    async fn create_category(
        &self,
        request: Request<pb::CreateCategoryRequest>,
    ) -> Reply<pb::PersonaCategory> {
        let caller = Caller::of(&request)?;
        let created = self.categories.create(&caller, request.into_inner().into()).await;
        Ok(Response::new(category(created.map_err(|e| status(&e))?)))
    }

    async fn update_category(
        &self,
        request: Request<pb::UpdateCategoryRequest>,
    ) -> Reply<pb::PersonaCategory> {
        let caller = Caller::of(&request)?;
        let pb::UpdateCategoryRequest { id, version, name, order, exclusive, colour, update_mask: _ } =
            request.into_inner();
        let updated = self.categories.update(&caller, &id, version, |c| {
            c.name = name.unwrap_or_else(|| c.name.clone());
            c.order = order.unwrap_or(c.order);
            c.exclusive = exclusive.unwrap_or(c.exclusive);
            c.colour = colour.unwrap_or_else(|| c.colour.clone());
        });
        Ok(Response::new(category(updated.await.map_err(|e| status(&e))?)))
    }

    async fn delete_category(&self, request: Request<pb::DeleteCategoryRequest>) -> Reply<Empty> {
        let caller = Caller::of(&request)?;
        self.categories.delete(&caller, &request.get_ref().id).await.map_err(|e| status(&e))?;
        Ok(Response::new(Empty {}))
    }
}

fn personas(page: kit::Page<(Stored<Persona>, Standing)>) -> pb::ListPersonasResponse {
    pb::ListPersonasResponse {
        items: page.items.into_iter().map(persona).collect(),
        next_cursor: page.next_cursor.unwrap_or_default(),
    }
}

fn state(status: pb::PersonaStatus) -> Option<State> {
    match status {
        pb::PersonaStatus::Unspecified => None,
        pb::PersonaStatus::Draft => Some(State::Draft),
        pb::PersonaStatus::Active => Some(State::Active),
        pb::PersonaStatus::Disabled => Some(State::Disabled),
        pb::PersonaStatus::Archived => Some(State::Archived),
    }
}

impl From<State> for pb::PersonaStatus {
    fn from(state: State) -> Self {
        match state {
            State::Draft => Self::Draft,
            State::Active => Self::Active,
            State::Disabled => Self::Disabled,
            State::Archived => Self::Archived,
        }
    }
}

impl From<pb::GuardRails> for GuardRails {
    fn from(rails: pb::GuardRails) -> Self {
        let pb::GuardRails { max_discount_percent, allowed_offer_kinds } = rails;
        Self { max_discount_percent, allowed_offer_kinds }
    }
}

impl TryFrom<pb::CreatePersonaRequest> for Persona {
    type Error = Error;

    fn try_from(request: pb::CreatePersonaRequest) -> Result<Self, Error> {
        let pb::CreatePersonaRequest { name, description, category_id, rule, guard_rails, refresh_hours } =
            request;
        Ok(Self {
            name,
            description,
            category: Some(category_id).filter(|c| !c.is_empty()),
            rule: rules_proto::read(rule, "rule")?,
            priority: 0,
            status: State::Draft,
            guard_rails: guard_rails.map(Into::into).unwrap_or_default(),
            refresh_hours: refresh_hours.unwrap_or(REFRESH_HOURS),
        })
    }
}

fn change(request: pb::UpdatePersonaRequest) -> Result<(String, i64, Change), Error> {
    let pb::UpdatePersonaRequest {
        id,
        version,
        name,
        description,
        category_id,
        rule,
        guard_rails,
        refresh_hours,
        update_mask,
    } = request;
    // A message named and not given is emptied: no guard rails, and no rule, which a persona must have.
    let named = |field: &str| update_mask.iter().flat_map(|m| &m.paths).any(|p| p == field);
    let rule = match rule {
        None if !named("rule") => None,
        rule => Some(rules_proto::read(rule, "rule")?),
    };
    let guard_rails = match guard_rails {
        None if named("guard_rails") => Some(GuardRails::default()),
        rails => rails.map(Into::into),
    };
    let change = Change { name, description, category: category_id, rule, guard_rails, refresh_hours };
    Ok((id, version, change))
}

fn persona((stored, standing): (Stored<Persona>, Standing)) -> pb::Persona {
    let Stored { id, scope: _, version, created_at, updated_at, body } = stored;
    let Persona { name, description, category, rule, priority, status, guard_rails, refresh_hours } = body;
    let GuardRails { max_discount_percent, allowed_offer_kinds } = guard_rails;
    pb::Persona {
        id,
        name,
        description,
        category_id: category.unwrap_or_default(),
        rule: Some(rules_proto::write(&rule)),
        priority,
        status: pb::PersonaStatus::from(status).into(),
        guard_rails: Some(pb::GuardRails { max_discount_percent, allowed_offer_kinds }),
        refresh_hours,
        size: standing.size,
        last_refreshed_at: standing.refreshed_at.map(to_proto),
        created_at: Some(to_proto(created_at)),
        updated_at: Some(to_proto(updated_at)),
        version,
    }
}

impl From<Preview> for pb::PersonaPreview {
    fn from(preview: Preview) -> Self {
        let Preview { size, of, sample, overlap } = preview;
        let sample = sample.into_iter().map(|(customer_id, external_id, why)| pb::PreviewCustomer {
            customer_id,
            external_id,
            why,
        });
        let overlap = overlap.into_iter().map(|(persona_id, name, customers)| pb::PersonaOverlap {
            persona_id,
            name,
            customers,
        });
        Self { size, of, sample: sample.collect(), overlap: overlap.collect() }
    }
}

fn member(persona: &str, customer: Stored<Customer>) -> pb::PersonaMember {
    let there = customer.body.personas.into_iter().find(|m| m.persona == persona);
    pb::PersonaMember {
        customer_id: customer.id,
        external_id: customer.body.external_id,
        entered_at: there.as_ref().map(|m| to_proto(m.entered_at)),
        why: there.map(|m| m.why).unwrap_or_default(),
    }
}

fn entries(customer: &Stored<Customer>, personas: &[Stored<Persona>]) -> Vec<pb::CustomerPersonaEntry> {
    let name =
        |id: &str| personas.iter().find(|p| p.id == id).map_or_else(String::new, |p| p.body.name.clone());
    let present = customer.body.personas.iter().map(|m| pb::CustomerPersonaEntry {
        persona_id: m.persona.clone(),
        name: name(&m.persona),
        entered_at: Some(to_proto(m.entered_at)),
        left_at: None,
        why: m.why.clone(),
    });
    let past = customer.body.past.iter().map(|m| pb::CustomerPersonaEntry {
        persona_id: m.persona.clone(),
        name: name(&m.persona),
        entered_at: Some(to_proto(m.entered_at)),
        left_at: Some(to_proto(m.left_at)),
        why: m.why.clone(),
    });
    present.chain(past).collect()
}

impl From<pb::CreateCategoryRequest> for Category {
    fn from(request: pb::CreateCategoryRequest) -> Self {
        let pb::CreateCategoryRequest { name, parent_id, order, exclusive, colour } = request;
        let parent = Some(parent_id).filter(|p| !p.is_empty());
        Self { name, parent, order, exclusive, colour, archived: false }
    }
}

fn category(stored: Stored<Category>) -> pb::PersonaCategory {
    let Stored { id, version, body, .. } = stored;
    let Category { name, parent, order, exclusive, colour, archived: _ } = body;
    let parent_id = parent.unwrap_or_default();
    pb::PersonaCategory { id, name, parent_id, order, exclusive, colour, version }
}
