//! User profiles over gRPC.

use kit::{Caller, PageRequest, Role};
use proto::identity as pb;
use proto::identity::user_profile_service_server::UserProfileService;
use store::Stored;
use tonic::{Request, Response, Status as GrpcStatus};

use super::model::{Member, Permissions, Person, ProfileChange, Status};
use super::ops::{Entry, People};
use super::store::Filter;
use crate::error::Error;

pub(crate) struct Rpc(pub People);

type Reply<T> = Result<Response<T>, GrpcStatus>;

fn wrong(e: Error) -> GrpcStatus {
    kit::error::status(&e)
}

fn user(entry: Result<Entry, Error>) -> Reply<pb::User> {
    let (member, person) = entry.map_err(wrong)?;
    Ok(Response::new(user_to(member, person)))
}

#[tonic::async_trait]
impl UserProfileService for Rpc {
    async fn list_users(&self, request: Request<pb::ListUsersRequest>) -> Reply<pb::ListUsersResponse> {
        let caller = Caller::of(&request)?;
        let pb::ListUsersRequest { limit, cursor, role, status } = request.into_inner();
        let filter = Filter { role: role_from(role), status: status_from(status) };
        let page = self.0.list(&caller, &filter, &PageRequest::new(limit, cursor)).await.map_err(wrong)?;
        let page = page.map(|(member, person)| user_to(member, person));
        let next_cursor = page.next_cursor.unwrap_or_default();
        Ok(Response::new(pb::ListUsersResponse { items: page.items, next_cursor }))
    }

    async fn get_me(&self, request: Request<pb::GetMeRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        let (member, person) = self.0.me(&caller).await.map_err(wrong)?;
        Ok(Response::new(me_to(&caller, member, person)))
    }

    async fn update_me(&self, request: Request<pb::UpdateMeRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        let pb::UpdateMeRequest { version, name, avatar_url, locale, time_zone, update_mask: _ } =
            request.into_inner();
        let change = ProfileChange { name, avatar_url, locale, time_zone };
        let (member, person) = self.0.update_me(&caller, version, change).await.map_err(wrong)?;
        Ok(Response::new(me_to(&caller, member, person)))
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        user(self.0.get(&caller, &request.get_ref().id).await)
    }

    async fn update_user(&self, request: Request<pb::UpdateUserRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        let pb::UpdateUserRequest { id, version, role, update_mask: _ } = request.into_inner();
        user(self.0.set_role(&caller, &id, version, role.and_then(role_from)).await)
    }

    async fn delete_user(&self, request: Request<pb::DeleteUserRequest>) -> Reply<proto::common::Empty> {
        let caller = Caller::of(&request)?;
        self.0.set_status(&caller, &request.get_ref().id, Status::Removed).await.map_err(wrong)?;
        Ok(Response::new(proto::common::Empty {}))
    }

    async fn set_permissions(&self, request: Request<pb::SetPermissionsRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        let pb::SetPermissionsRequest { id, permissions } = request.into_inner();
        let permissions = permissions_from(permissions.unwrap_or_default());
        user(self.0.set_permissions(&caller, &id, permissions).await)
    }

    async fn suspend_user(&self, request: Request<pb::SuspendUserRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        user(self.0.set_status(&caller, &request.get_ref().id, Status::Suspended).await)
    }

    async fn restore_user(&self, request: Request<pb::RestoreUserRequest>) -> Reply<pb::User> {
        let caller = Caller::of(&request)?;
        user(self.0.set_status(&caller, &request.get_ref().id, Status::Active).await)
    }
}

fn user_to(member: Stored<Member>, person: Stored<Person>) -> pb::User {
    let Stored { id: _, scope, version, created_at, updated_at, body: member } = member;
    let Person { email, email_key: _, name, avatar_url, locale, time_zone, last_seen_at, .. } = person.body;
    let Member { user_id, role, status, permissions, since: _ } = member;
    pb::User {
        id: user_id,
        email,
        name,
        avatar_url,
        locale,
        time_zone,
        role: role_to(role).into(),
        status: status_to(status).into(),
        permissions: Some(permissions_to(permissions)),
        last_seen_at: last_seen_at.map(kit::time::to_proto),
        created_at: Some(kit::time::to_proto(created_at)),
        updated_at: Some(kit::time::to_proto(updated_at)),
        version,
        company_id: scope.company,
    }
}

fn me_to(caller: &Caller, member: Option<Stored<Member>>, person: Stored<Person>) -> pb::User {
    let (version, id) = (person.version, person.id.clone());
    let (created, updated) = (person.created_at, person.updated_at);
    match member {
        Some(member) => pb::User { version, ..user_to(member, person) },
        None => {
            let Person { email, name, avatar_url, locale, time_zone, last_seen_at, .. } = person.body;
            pb::User {
                id,
                email,
                name,
                avatar_url,
                locale,
                time_zone,
                role: role_to(caller.role).into(),
                status: pb::UserStatus::Active.into(),
                permissions: Some(pb::Permissions {
                    product_upload_permitted: caller.has("product_upload_permitted"),
                    publish_live: true,
                    see_personal_data: true,
                }),
                last_seen_at: last_seen_at.map(kit::time::to_proto),
                created_at: Some(kit::time::to_proto(created)),
                updated_at: Some(kit::time::to_proto(updated)),
                version,
                company_id: caller.scope.as_ref().map(|s| s.company.clone()).unwrap_or_default(),
            }
        }
    }
}

/// A person's role on the wire; callers that are no people have none.
pub(crate) fn role_to(role: Role) -> pb::UserRole {
    match role {
        Role::KaleAdmin => pb::UserRole::KaleAdmin,
        Role::RetAdmin => pb::UserRole::RetAdmin,
        Role::RetExp => pb::UserRole::RetExp,
        _ => pb::UserRole::Unspecified,
    }
}

pub(crate) fn role_from(role: i32) -> Option<Role> {
    match pb::UserRole::try_from(role).ok()? {
        pb::UserRole::Unspecified => None,
        pb::UserRole::KaleAdmin => Some(Role::KaleAdmin),
        pb::UserRole::RetAdmin => Some(Role::RetAdmin),
        pb::UserRole::RetExp => Some(Role::RetExp),
    }
}

fn status_to(status: Status) -> pb::UserStatus {
    match status {
        Status::Active => pb::UserStatus::Active,
        Status::Suspended => pb::UserStatus::Suspended,
        Status::Removed => pb::UserStatus::Removed,
    }
}

fn status_from(status: i32) -> Option<Status> {
    match pb::UserStatus::try_from(status).ok()? {
        // Who is only invited is among the invitations.
        pb::UserStatus::Unspecified | pb::UserStatus::Invited => None,
        pb::UserStatus::Active => Some(Status::Active),
        pb::UserStatus::Suspended => Some(Status::Suspended),
        pb::UserStatus::Removed => Some(Status::Removed),
    }
}

pub(crate) fn permissions_to(p: Permissions) -> pb::Permissions {
    let Permissions { product_upload_permitted, publish_live, see_personal_data } = p;
    pb::Permissions { product_upload_permitted, publish_live, see_personal_data }
}

pub(crate) fn permissions_from(p: pb::Permissions) -> Permissions {
    let pb::Permissions { product_upload_permitted, publish_live, see_personal_data } = p;
    Permissions { product_upload_permitted, publish_live, see_personal_data }
}
