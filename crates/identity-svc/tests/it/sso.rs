//! Single sign-on: the way in and back, who is let in, a company's settings. On a fake WorkOS.

use jiff::SignedDuration;
use kit::{Caller, Role};
use proto::identity as pb;
use proto::identity::workos_service_client::WorkosServiceClient;
use serde_json::json;
use testkit::workos::{FakeWorkOs, Fault};
use tonic::transport::Channel;

use crate::rig::{Rig, person, public, slug};

/// A company with single sign-on, a directory and two mapped groups.
pub struct Site {
    pub fake: FakeWorkOs,
    pub rig: Rig,
    pub company: pb::Company,
    pub ada: Caller,
    pub organization: String,
    pub connection: String,
    pub directory: String,
    pub experts: String,
    pub admins: String,
}

/// What a browser carries back.
#[derive(Clone, Debug, Default)]
pub struct Back {
    pub code: String,
    pub state: String,
    pub error: String,
    pub binding: String,
}

impl Site {
    /// The service with a fake, and a company that has no single sign-on yet.
    async fn bare(more: &[&str]) -> (FakeWorkOs, Rig, pb::Company, Caller) {
        let clock = testkit::clock();
        let fake = FakeWorkOs::start_at(clock.clone()).await;
        let flag = |name: &str| name.trim_start_matches("RETENTION_").to_lowercase().replace('_', "-");
        let arguments: Vec<_> =
            fake.settings().iter().map(|(name, value)| format!("--{}={value}", flag(name))).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let rig = Rig::at(clock, &arguments).await;
        let (company, ada) = rig.company("Telco", "ada@telco.example").await;
        (fake, rig, company, ada)
    }

    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub async fn start_with(more: &[&str]) -> Self {
        let (fake, rig, company, ada) = Self::bare(more).await;
        let operator = rig.operator().await;
        let mapping =
            |group: &str, role: pb::UserRole| pb::SsoRoleMapping { group: group.into(), role: role.into() };
        let put = pb::PutSsoRequest {
            id: company.id.clone(),
            domains: vec!["telco.example".into()],
            domains_verified: true,
            role_mapping: vec![
                mapping("Experts", pb::UserRole::RetExp),
                mapping("Admins", pb::UserRole::RetAdmin),
            ],
            ..Default::default()
        };
        sso(&rig).put_sso(rig.ask(&operator, put)).await.unwrap();
        let organization = fake.organization(&company.id);
        let connection = fake.activate_connection(&organization);
        let directory = fake.link_directory(&organization);
        let (experts, admins) = (fake.add_group(&directory, "Experts"), fake.add_group(&directory, "Admins"));
        let site = Self { fake, rig, company, ada, organization, connection, directory, experts, admins };
        site.told("connection.activated").await;
        site.told("dsync.activated").await;
        site.until("the connection", |s| {
            s.connection_state() == pb::SsoConnectionState::Active && !s.directory_id.is_empty()
        })
        .await;
        site
    }

    pub async fn settings(&self) -> pb::SsoSettings {
        let get = pb::GetSsoRequest { id: self.company.id.clone() };
        sso(&self.rig).get_sso(self.rig.ask(&self.ada, get)).await.unwrap().into_inner()
    }

    pub async fn until(&self, what: &str, right: impl Fn(&pb::SsoSettings) -> bool) -> pb::SsoSettings {
        testkit::eventually(what, async || Some(self.settings().await).filter(&right)).await
    }

    /// Delivers the newest event of this name.
    pub async fn told(&self, name: &str) -> pb::ReceiveWorkosEventResponse {
        let (signature, body) = self.fake.delivery(name);
        self.receive(&signature, body).await.unwrap()
    }

    pub async fn receive(
        &self,
        signature: &str,
        body: String,
    ) -> Result<pb::ReceiveWorkosEventResponse, tonic::Status> {
        let message = pb::ReceiveWorkosEventRequest { body: body.into(), signature: signature.into() };
        let provider = Caller { role: Role::Provider, ..public() };
        sso(&self.rig).receive_workos_event(self.rig.ask(&provider, message)).await.map(|r| r.into_inner())
    }

    /// Out to the provider, signed in there, and on the way back.
    pub async fn leave(&self, email: &str) -> Back {
        let message = pb::BeginSsoRequest { email: email.into(), return_to: "/offers".into() };
        let begun = sso(&self.rig).begin_sso(self.rig.ask(&public(), message)).await.unwrap().into_inner();
        assert!(begun.location.starts_with(self.fake.url()), "{begun:?}");
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let answer = http.get(&begun.location).send().await.unwrap();
        let back = url::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
        assert_eq!(back.path(), "/v1/sso/callback");
        let get = |name: &str| {
            back.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned()).unwrap_or_default()
        };
        Back { code: get("code"), state: get("state"), error: get("error"), binding: begun.binding }
    }

    pub async fn come(&self, back: Back) -> Result<pb::FinishSsoResponse, tonic::Status> {
        let Back { code, state, error, binding } = back;
        let message = pb::FinishSsoRequest { code, state, error, binding };
        sso(&self.rig).finish_sso(self.rig.ask(&public(), message)).await.map(|r| r.into_inner())
    }

    /// The whole way.
    pub async fn sign_in(&self, email: &str) -> Result<pb::SessionGrant, tonic::Status> {
        let finished = self.come(self.leave(email).await).await?;
        assert_eq!(finished.return_to, "/offers");
        Ok(finished.grant.unwrap())
    }

    pub async fn user(&self, email: &str) -> Option<pb::User> {
        let mut users = pb::user_profile_service_client::UserProfileServiceClient::new(self.rig.up.channel());
        let list = users.list_users(self.rig.ask(&self.ada, pb::ListUsersRequest::default())).await.unwrap();
        list.into_inner().items.into_iter().find(|u| u.email == email)
    }
}

pub fn sso(rig: &Rig) -> WorkosServiceClient<Channel> {
    WorkosServiceClient::new(rig.up.channel())
}

#[tokio::test]
async fn a_person_of_a_mapped_group_comes_in_with_its_role_and_is_known_again() {
    let site = Site::start().await;
    site.fake.add_person(&site.directory, "dora@telco.example", &[&site.experts]);
    let grant = site.sign_in("dora@telco.example").await.unwrap();
    assert_eq!((grant.role(), &grant.company_id), (pb::UserRole::RetExp, &site.company.id));
    let resolved = site.rig.resolve(&grant.session_id).await.unwrap();
    let dora = site.user("dora@telco.example").await.unwrap();
    assert_eq!((dora.id.as_str(), dora.name.as_str()), (resolved.user_id.as_str(), "Dora Directory"));
    let me = person(Role::RetExp, &dora.id, Some(&site.company.id));
    let list = site.rig.sessions().list_sessions(site.rig.ask(&me, pb::ListSessionsRequest::default())).await;
    assert_eq!(list.unwrap().get_ref().items[0].method, "sso");
    let again = site.sign_in("dora@telco.example").await.unwrap();
    assert_eq!(site.rig.resolve(&again.session_id).await.unwrap().user_id, dora.id);
    // Who was invited is the same person, and needs no group.
    let ada = site.rig.sign_in("ada@telco.example", 1).await;
    site.fake.add_user("ada@telco.example", true);
    let grant = site.sign_in("ada@telco.example").await.unwrap();
    assert_eq!(grant.role(), pb::UserRole::RetAdmin);
    let (one, other) = (
        site.rig.resolve(&grant.session_id).await.unwrap(),
        site.rig.resolve(&ada.session_id).await.unwrap(),
    );
    assert_eq!(one.user_id, other.user_id);
}

#[tokio::test]
async fn strangers_are_refused_with_one_answer() {
    let site = Site::start().await;
    let failed = async |email: &str| slug(site.sign_in(email).await);
    site.fake.add_person(&site.directory, "nogroup@telco.example", &[]);
    assert_eq!(failed("nogroup@telco.example").await, "sign_in_failed", "in no mapped group");
    site.fake.add_user("notlisted@telco.example", true);
    assert_eq!(failed("notlisted@telco.example").await, "sign_in_failed", "in no directory");
    site.fake.add_person(&site.directory, "mallory@elsewhere.example", &[&site.admins]);
    site.fake.next_signs_in("mallory@elsewhere.example");
    assert_eq!(
        failed("anybody@telco.example").await,
        "sign_in_failed",
        "of a domain that is not the company's"
    );
    site.fake.add_user("unproved@telco.example", false);
    site.fake.add_person(&site.directory, "unproved@telco.example", &[&site.admins]);
    assert_eq!(failed("unproved@telco.example").await, "sign_in_failed", "an address nobody proved");
    site.fake.add_user(crate::rig::OPERATOR, true);
    site.fake.next_signs_in(crate::rig::OPERATOR);
    assert_eq!(failed("anybody@telco.example").await, "sign_in_failed", "no company vouches for an operator");
    assert_eq!(failed("unknown@telco.example").await, "sign_in_failed", "the provider denied it");

    site.fake.add_user("ada@telco.example", true);
    let other = site.fake.add_organization("Other");
    site.fake.next_comes_from(&other);
    assert_eq!(failed("ada@telco.example").await, "sign_in_failed", "back from another organization");
    for (status, body) in [
        (403, json!({ "code": "mfa_enrollment", "message": "x", "pending_authentication_token": "t" })),
        (403, json!({ "code": "a_step_of_tomorrow", "message": "x" })),
        (400, json!({ "error": "invalid_grant", "error_description": "x" })),
        (400, json!({ "code": "invalid_credentials", "message": "x" })),
    ] {
        site.fake.refuse_next_sign_in(status, body.clone());
        assert_eq!(failed("ada@telco.example").await, "sign_in_failed", "{body}");
    }
    testkit::eventually("the sessions at WorkOS ending", async || {
        site.fake.sessions().is_empty().then_some(())
    })
    .await;
    site.fake.issue_as(&format!("{}/", site.fake.url()));
    let refused = site.sign_in("ada@telco.example").await;
    assert_eq!(slug(refused), "identity_provider_unavailable", "another issuer, be it by a slash");
    site.fake.issue_as(site.fake.url());
    let back = site.leave("ada@telco.example").await;
    site.fake.fail_next(&[Fault::Broken]);
    assert_eq!(slug(site.come(back).await), "identity_provider_unavailable");
    let exchanges = site.fake.seen().iter().filter(|s| s.path == "/user_management/authenticate").count();
    assert!(site.sign_in("ada@telco.example").await.is_ok());
    let after = site.fake.seen().iter().filter(|s| s.path == "/user_management/authenticate").count();
    assert_eq!(after, exchanges + 1, "a code is sent once");
}

#[tokio::test]
async fn the_way_back_is_for_one_browser_once_and_in_time() {
    let site = Site::start().await;
    site.fake.add_user("ada@telco.example", true);
    let back = site.leave("ada@telco.example").await;
    let other = site.leave("ada@telco.example").await;
    let crossed = Back { binding: other.binding.clone(), ..back.clone() };
    assert_eq!(slug(site.come(crossed).await), "sign_in_failed", "another browser");
    assert_eq!(
        slug(site.come(back).await),
        "sign_in_failed",
        "and then it is over for the first one as well"
    );
    assert!(site.come(other.clone()).await.is_ok());
    assert_eq!(slug(site.come(other).await), "sign_in_failed", "twice");
    let late = site.leave("ada@telco.example").await;
    site.rig.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(slug(site.come(late).await), "sign_in_failed", "too late");
    let made_up = Back { code: "code_1".into(), state: "s".into(), ..Back::default() };
    assert_eq!(slug(site.come(made_up).await), "sign_in_failed", "nobody left");
    let begin = async |email: &str, return_to: &str| {
        let message = pb::BeginSsoRequest { email: email.into(), return_to: return_to.into() };
        sso(&site.rig).begin_sso(site.rig.ask(&public(), message)).await.map(|r| r.into_inner())
    };
    for email in ["ada@nowhere.example", "ada@sub.telco.example", "not an address"] {
        let begun = begin(email, "").await.unwrap();
        assert_eq!((begun.location.as_str(), begun.binding.as_str()), ("", ""), "{email}");
    }
    for bad in ["//evil.example", "/\\evil.example", "%2f%2fevil.example", "https://evil.example"] {
        assert_eq!(slug(begin("ada@telco.example", bad).await), "invalid_request", "{bad}");
    }
    site.fake.deactivate_connection(&site.connection);
    site.told("connection.deactivated").await;
    site.until("the connection going", |s| s.connection_state() == pb::SsoConnectionState::Inactive).await;
    assert_eq!(begin("ada@telco.example", "").await.unwrap().location, "");
}

#[tokio::test]
async fn a_company_sets_its_own_single_sign_on_up() {
    let (fake, rig, company, ada) = Site::bare(&[]).await;
    let (_, bob) = rig.company("Other", "bob@other.example").await;
    let get = |id: &str| pb::GetSsoRequest { id: id.into() };
    let empty = sso(&rig).get_sso(rig.ask(&ada, get(&company.id))).await.unwrap().into_inner();
    assert_eq!((empty.version, empty.provider.as_str()), (0, "workos"));
    assert_eq!(slug(sso(&rig).get_sso(rig.ask(&bob, get(&company.id))).await), "not_found");
    let put = pb::PutSsoRequest {
        id: company.id.clone(),
        domains: vec!["Telco.example".into()],
        ..Default::default()
    };
    let try_put =
        async |caller: &Caller, put: pb::PutSsoRequest| sso(&rig).put_sso(rig.ask(caller, put)).await;
    assert_eq!(slug(try_put(&bob, put.clone()).await), "not_found");
    let vouched = pb::PutSsoRequest { domains_verified: true, ..put.clone() };
    assert_eq!(slug(try_put(&ada, vouched).await), "forbidden");
    let required = pb::PutSsoRequest { sso_required: true, ..put.clone() };
    assert_eq!(slug(try_put(&ada, required).await), "sso_not_ready", "nobody could come in");
    let made = try_put(&ada, put.clone()).await.unwrap().into_inner();
    // The try before made the organization, and this one found it by the company's id.
    assert_eq!(made.organization_id, fake.organization(&company.id));
    assert!(!made.domains[0].verified && made.domains[0].domain == "telco.example", "{made:?}");
    assert_eq!(slug(try_put(&ada, put.clone()).await), "stale_version");
    let again = try_put(&ada, pb::PutSsoRequest { version: made.version, ..put }).await.unwrap().into_inner();
    assert_eq!(again.organization_id, made.organization_id);
    let creates = fake.seen().iter().filter(|s| s.method == "POST" && s.path == "/organizations").count();
    assert_eq!(creates, 1);

    let link = pb::CreateSsoPortalLinkRequest {
        intent: pb::SsoPortalIntent::Sso.into(),
        return_to: "/settings".into(),
    };
    let made = sso(&rig).create_sso_portal_link(rig.ask(&ada, link.clone())).await.unwrap().into_inner();
    assert!(made.link.starts_with(fake.url()));
    sso(&rig).create_sso_portal_link(rig.ask(&bob, link.clone())).await.unwrap();
    let asked = fake.seen().into_iter().filter(|s| s.path == "/portal/generate_link").map(|s| s.body);
    let organizations: Vec<_> = asked.map(|b| b["organization"].clone()).collect();
    assert_ne!(organizations[0], organizations[1], "each comes to the own company's pages");
    let evil = pb::CreateSsoPortalLinkRequest { return_to: "//evil.example".into(), ..link };
    assert_eq!(slug(sso(&rig).create_sso_portal_link(rig.ask(&ada, evil)).await), "invalid_request");
    let mut audit = pb::audit_service_client::AuditServiceClient::new(rig.up.channel());
    let search = pb::ListAuditEntriesRequest { action: "sso.update".into(), ..Default::default() };
    testkit::eventually("the trail", async || {
        let page = audit.clone().list_audit_entries(rig.ask(&ada, search.clone())).await.unwrap();
        (page.get_ref().items.len() == 2).then_some(())
    })
    .await;
    drop(audit.list_audit_entries(rig.ask(&ada, search)).await);
}

#[tokio::test]
async fn where_single_sign_on_is_required_no_other_session_lives() {
    let site = Site::start().await;
    let by_code = site.rig.sign_in("ada@telco.example", 1).await;
    site.fake.add_user("ada@telco.example", true);
    let by_sso = site.sign_in("ada@telco.example").await.unwrap();
    let read = site.settings().await;
    let put = pb::PutSsoRequest {
        id: site.company.id.clone(),
        version: read.version,
        domains: read.domains.iter().map(|d| d.domain.clone()).collect(),
        role_mapping: read.role_mapping,
        sso_required: true,
        domains_verified: false,
    };
    let put = sso(&site.rig).put_sso(site.rig.ask(&site.ada, put)).await.unwrap().into_inner();
    assert!(put.sso_required && put.domains[0].verified, "what was proved stays so");
    assert_eq!(slug(site.rig.resolve(&by_code.session_id).await), "session_ended");
    assert!(site.rig.resolve(&by_sso.session_id).await.is_ok());
    let ask = |code: &str| pb::CreateSessionRequest { email: "ada@telco.example".into(), code: code.into() };
    let mails = site.rig.mails_to("ada@telco.example");
    let sent = site.rig.sessions().create_session(site.rig.ask(&public(), ask(""))).await.unwrap();
    assert_eq!(sent.get_ref().state(), pb::SessionState::CodeSent, "the answer is the same for everybody");
    site.rig.operator().await;
    assert_eq!(site.rig.mails_to("ada@telco.example"), mails, "and no code is mailed");
    assert!(site.sign_in("ada@telco.example").await.is_ok());

    let delete = pb::DeleteSsoRequest { id: site.company.id.clone() };
    sso(&site.rig).delete_sso(site.rig.ask(&site.ada, delete)).await.unwrap();
    assert_eq!(slug(site.rig.resolve(&by_sso.session_id).await), "session_ended");
    let read = site.settings().await;
    assert!(!read.sso_required && read.organization_id.is_empty() && read.domains.is_empty());
    site.rig.sign_in("ada@telco.example", 2).await;
}

#[tokio::test]
async fn a_company_s_provider_vouches_for_nobody_at_another_company() {
    let site = Site::start().await;
    let (other, bob) = site.rig.company("Other", "bob@other.example").await;
    let eve = site.rig.join(&site.ada, "eve@telco.example", pb::UserRole::RetExp).await;
    let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(site.rig.up.channel());
    let token = site.rig.invite(&bob, "eve@telco.example", pb::UserRole::RetExp, 2).await;
    let accept =
        pb::AcceptInvitationRequest { token, email: "eve@telco.example".into(), ..Default::default() };
    invitations.accept_invitation(site.rig.ask(&public(), accept)).await.unwrap();
    site.fake.add_user("eve@telco.example", true);
    let grant = site.sign_in("eve@telco.example").await.unwrap();
    assert_eq!(grant.company_id, site.company.id);
    let me = Caller { session: Some(grant.session_id), ..person(Role::RetExp, &eve, Some(&site.company.id)) };
    let switch = pb::SwitchCompanyRequest { company_id: other.id };
    let switched = site.rig.sessions().switch_company(site.rig.ask(&me, switch)).await;
    assert_eq!(slug(switched), "sign_in_there");
}

#[tokio::test]
async fn without_a_provider_everything_says_so() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let begin = pb::BeginSsoRequest { email: "ada@telco.example".into(), return_to: String::new() };
    let begun = sso(&rig).begin_sso(rig.ask(&public(), begin)).await.unwrap().into_inner();
    assert_eq!(begun.location, "");
    let put = pb::PutSsoRequest { id: company.id.clone(), ..Default::default() };
    assert_eq!(slug(sso(&rig).put_sso(rig.ask(&ada, put)).await), "sso_unavailable");
    let get = pb::GetSsoRequest { id: company.id };
    assert_eq!(sso(&rig).get_sso(rig.ask(&ada, get)).await.unwrap().get_ref().provider, "none");
    let event = pb::ReceiveWorkosEventRequest { body: b"{}".to_vec().into(), signature: "t=1, v1=00".into() };
    assert_eq!(slug(sso(&rig).receive_workos_event(rig.ask(&public(), event)).await), "not_found");
}
