//! Companies, people, invitations, the audit trail.

use jiff::SignedDuration;
use kit::{Caller, Mode, Role, Scope};
use proto::identity as pb;

use crate::rig::{Rig, person, public, slug};

type Users = pb::user_profile_service_client::UserProfileServiceClient<tonic::transport::Channel>;

fn users(rig: &Rig) -> Users {
    Users::new(rig.up.channel())
}

#[tokio::test]
async fn a_company_always_keeps_one_active_admin() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let suspend = |id: &str| pb::SuspendUserRequest { id: id.into() };
    let alone = users(&rig).suspend_user(rig.ask(&ada, suspend(&ada.actor.id))).await;
    assert_eq!(slug(alone), "last_admin");
    let bob = rig.join(&ada, "bob@telco.example", pb::UserRole::RetAdmin).await;
    let bob = person(Role::RetAdmin, &bob, Some(&company.id));
    // Each removes the other at the same time: one of them stays.
    let (mut left, mut right) = (users(&rig), users(&rig));
    let outcomes = futures_util::future::join(
        left.suspend_user(rig.ask(&ada, suspend(&bob.actor.id))),
        right.suspend_user(rig.ask(&bob, suspend(&ada.actor.id))),
    )
    .await;
    let done = usize::from(outcomes.0.is_ok()) + usize::from(outcomes.1.is_ok());
    assert_eq!(done, 1, "{outcomes:?}");
}

#[tokio::test]
async fn taking_a_role_away_ends_the_sessions() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let eve = rig.join(&ada, "eve@telco.example", pb::UserRole::RetExp).await;
    let grant = rig.sign_in("eve@telco.example", 1).await;
    assert_eq!((grant.role(), grant.company_id.as_str()), (pb::UserRole::RetExp, company.id.as_str()));
    let permissions = pb::Permissions { publish_live: true, ..Default::default() };
    let set = pb::SetPermissionsRequest { id: eve.clone(), permissions: Some(permissions) };
    users(&rig).set_permissions(rig.ask(&ada, set)).await.unwrap();
    assert_eq!(rig.resolve(&grant.session_id).await.unwrap().grants, ["publish_live"], "at once");
    let user = users(&rig).get_user(rig.ask(&ada, pb::GetUserRequest { id: eve.clone() })).await.unwrap();
    let version = user.get_ref().version;
    let stale = pb::UpdateUserRequest {
        id: eve.clone(),
        version: version - 1,
        role: Some(pb::UserRole::RetAdmin.into()),
        update_mask: None,
    };
    let outcome = users(&rig).update_user(rig.ask(&ada, stale.clone())).await;
    assert_eq!(slug(outcome), "stale_version");
    users(&rig).update_user(rig.ask(&ada, pb::UpdateUserRequest { version, ..stale })).await.unwrap();
    assert_eq!(slug(rig.resolve(&grant.session_id).await), "session_ended");
    users(&rig).delete_user(rig.ask(&ada, pb::DeleteUserRequest { id: eve })).await.unwrap();
    let again = pb::CreateSessionRequest { email: "eve@telco.example".into(), code: String::new() };
    let mails = rig.mails_to("eve@telco.example");
    rig.sessions().create_session(rig.ask(&public(), again)).await.unwrap();
    rig.operator().await;
    assert_eq!(rig.mails_to("eve@telco.example"), mails, "who was removed gets no code");
}

/// Invariant 4: no record is reachable with another company's credentials.
#[tokio::test]
async fn invariant_4_another_company_s_people_keys_and_settings_are_not_there() {
    let rig = Rig::start().await;
    let (one, ada) = rig.company("One", "ada@one.example").await;
    let (two, bob) = rig.company("Two", "bob@two.example").await;
    let get = pb::GetUserRequest { id: ada.actor.id.clone() };
    assert_eq!(slug(users(&rig).get_user(rig.ask(&bob, get)).await), "not_found");
    let suspend = pb::SuspendUserRequest { id: ada.actor.id.clone() };
    assert_eq!(slug(users(&rig).suspend_user(rig.ask(&bob, suspend)).await), "not_found");
    let list = users(&rig).list_users(rig.ask(&bob, pb::ListUsersRequest::default())).await.unwrap();
    assert_eq!(list.get_ref().items.len(), 1);
    let mut companies = pb::company_service_client::CompanyServiceClient::new(rig.up.channel());
    let get = pb::GetCompanyRequest { id: one.id.clone() };
    assert_eq!(slug(companies.get_company(rig.ask(&bob, get)).await), "not_found");
    let update = pb::UpdateCompanyRequest {
        id: one.id.clone(),
        version: one.version,
        name: Some("Mine".into()),
        ..Default::default()
    };
    assert_eq!(slug(companies.update_company(rig.ask(&bob, update.clone())).await), "not_found");
    let own = pb::UpdateCompanyRequest { id: two.id.clone(), version: two.version, ..update };
    let renamed = companies.update_company(rig.ask(&bob, own)).await.unwrap().into_inner();
    assert_eq!(renamed.name, "Mine");
    let plan = pb::UpdateCompanyRequest {
        id: two.id,
        version: renamed.version,
        plan: Some("free for ever".into()),
        ..Default::default()
    };
    assert_eq!(slug(companies.update_company(rig.ask(&bob, plan)).await), "forbidden");
    let mut keys = pb::api_key_service_client::ApiKeyServiceClient::new(rig.up.channel());
    let list = pb::ListApiKeysRequest { id: one.id };
    assert_eq!(slug(keys.list_api_keys(rig.ask(&bob, list)).await), "not_found");
}

#[tokio::test]
async fn an_invitation_works_once_for_seven_days_and_for_its_address() {
    let rig = Rig::start().await;
    let (_, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(rig.up.channel());
    let token = rig.invite(&ada, "eve@telco.example", pb::UserRole::RetExp, 1).await;
    let accept = |token: &str, email: &str| pb::AcceptInvitationRequest {
        token: token.into(),
        email: email.into(),
        ..Default::default()
    };
    let other = invitations.accept_invitation(rig.ask(&public(), accept(&token, "mallory@x.example"))).await;
    assert_eq!(slug(other), "other_address");
    let made_up =
        invitations.accept_invitation(rig.ask(&public(), accept("nope", "eve@telco.example"))).await;
    assert_eq!(slug(made_up), "not_found");
    let list = invitations
        .list_invitations(rig.ask(&ada, pb::ListInvitationsRequest::default()))
        .await
        .unwrap()
        .into_inner();
    let resend = pb::ResendInvitationRequest { id: list.items[0].id.clone(), ..Default::default() };
    invitations.resend_invitation(rig.ask(&ada, resend)).await.unwrap();
    let dead = invitations.accept_invitation(rig.ask(&public(), accept(&token, "eve@telco.example"))).await;
    assert_eq!(slug(dead), "not_found", "the old token is dead");
    let mail = rig.mail("eve@telco.example", "Email_Invitation_RE", 2).await;
    let token = mail["accept_link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let seen = pb::GetInvitationByTokenRequest { token: token.clone() };
    let seen = invitations.get_invitation_by_token(rig.ask(&public(), seen)).await.unwrap().into_inner();
    assert_eq!((seen.company_name.as_str(), seen.role()), ("Telco", pb::UserRole::RetExp));
    rig.clock.advance(SignedDuration::from_hours(7 * 24));
    let late = invitations.accept_invitation(rig.ask(&public(), accept(&token, "eve@telco.example"))).await;
    assert_eq!(slug(late), "invitation_expired");
    let token = rig.invite(&ada, "eve@telco.example", pb::UserRole::RetExp, 3).await;
    invitations.accept_invitation(rig.ask(&public(), accept(&token, "eve@telco.example"))).await.unwrap();
    let twice = invitations.accept_invitation(rig.ask(&public(), accept(&token, "eve@telco.example"))).await;
    assert_eq!(slug(twice), "invitation_used");
    let again = pb::CreateInvitationRequest {
        email: "EVE@telco.example".into(),
        role: pb::UserRole::RetExp.into(),
        ..Default::default()
    };
    assert_eq!(slug(invitations.create_invitation(rig.ask(&ada, again)).await), "already_member");
}

#[tokio::test]
async fn what_people_do_is_in_the_audit_trail_of_their_company() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let (_, bob) = rig.company("Other", "bob@other.example").await;
    let mut companies = pb::company_service_client::CompanyServiceClient::new(rig.up.channel());
    let operator = rig.operator().await;
    let suspend = pb::SuspendCompanyRequest { id: company.id.clone(), reason: "unpaid".into() };
    companies.suspend_company(rig.ask(&operator, suspend)).await.unwrap();
    let mut audit = pb::audit_service_client::AuditServiceClient::new(rig.up.channel());
    let search = pb::ListAuditEntriesRequest { action: "company.suspend".into(), ..Default::default() };
    let found = testkit::eventually("the entry", async || {
        let page = audit.clone().list_audit_entries(rig.ask(&ada, search.clone())).await.unwrap();
        page.into_inner().items.pop()
    })
    .await;
    assert_eq!((found.reason.as_str(), found.actor_id), ("unpaid", operator.actor.id));
    assert_eq!(found.resource_id, company.id);
    let get = pb::GetAuditEntryRequest { id: found.id.clone() };
    assert_eq!(slug(audit.get_audit_entry(rig.ask(&bob, get.clone())).await), "not_found");
    assert!(audit.get_audit_entry(rig.ask(&ada, get)).await.is_ok());
    let all = audit.list_audit_entries(rig.ask(&ada, pb::ListAuditEntriesRequest::default())).await.unwrap();
    let text = format!("{:?}", all.get_ref());
    assert!(!text.contains("ada@telco.example"), "no address in the trail");
}

#[tokio::test]
async fn recipients_are_the_active_people_of_the_company() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    rig.join(&ada, "eve@telco.example", pb::UserRole::RetExp).await;
    rig.company("Other", "bob@other.example").await;
    let notify = Caller::internal("notify-svc", Some(Scope::new(&company.id, Mode::Test)));
    let ask =
        |roles: &[&str]| pb::ListRecipientsRequest { roles: roles.iter().map(|r| (*r).to_owned()).collect() };
    let admins = rig.directory().list_recipients(rig.ask(&notify, ask(&["ret_admin"]))).await.unwrap();
    assert_eq!(admins.get_ref().items.len(), 1);
    assert!(admins.get_ref().items[0].sees_personal_data);
    let both =
        rig.directory().list_recipients(rig.ask(&notify, ask(&["ret_admin", "ret_exp"]))).await.unwrap();
    let emails: Vec<_> = both.get_ref().items.iter().map(|r| r.email.as_str()).collect();
    assert_eq!(emails, ["ada@telco.example", "eve@telco.example"]);
}
