//! What ends: companies, sessions with them, invitations, signing keys.

use jiff::SignedDuration;
use kit::{Caller, Role};
use proto::identity as pb;

use crate::rig::{OPERATOR, Rig, person, public, slug};

#[tokio::test]
async fn a_closing_company_ends_its_sessions_at_once_and_itself_after_fourteen_days() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut companies = pb::company_service_client::CompanyServiceClient::new(rig.up.channel());
    let session = rig.sign_in("ada@telco.example", 1).await;
    rig.clock.advance(SignedDuration::from_mins(1));
    let close = pb::CloseCompanyRequest { id: company.id.clone(), reason: "moving on".into() };
    let closing = companies.close_company(rig.ask(&ada, close.clone())).await.unwrap().into_inner();
    assert_eq!(closing.status(), pb::CompanyStatus::Closing);
    assert!(closing.closes_at.is_some());
    assert_eq!(slug(companies.close_company(rig.ask(&ada, close.clone())).await), "wrong_state");
    assert_eq!(slug(rig.resolve(&session.session_id).await), "session_ended");
    let again = rig.sign_in("ada@telco.example", 2).await;
    let standing = rig.resolve(&again.session_id).await.unwrap();
    assert_eq!(standing.company_status, "closing", "the export wants somebody signed in");

    let operator = rig.operator().await;
    let back = pb::ReactivateCompanyRequest { id: company.id.clone() };
    let back = companies.reactivate_company(rig.ask(&operator, back)).await.unwrap().into_inner();
    assert_eq!((back.status(), back.closes_at), (pb::CompanyStatus::Active, None));
    companies.close_company(rig.ask(&ada, close)).await.unwrap();
    rig.clock.advance(SignedDuration::from_hours(14 * 24 + 1));
    testkit::eventually("the job that closes", async || {
        let get = pb::GetCompanyRequest { id: company.id.clone() };
        let company = companies.clone().get_company(rig.ask(&ada, get)).await.unwrap().into_inner();
        (company.status() == pb::CompanyStatus::Closed).then_some(())
    })
    .await;
    let first = pb::CreateSessionRequest { email: "ada@telco.example".into(), code: String::new() };
    rig.sessions().create_session(rig.ask(&public(), first)).await.unwrap();
    // A mail to somebody else, asked for later, is there: the one to her never will be.
    rig.sign_in(OPERATOR, rig.mails_to(OPERATOR) + 1).await;
    assert_eq!(rig.mails_to("ada@telco.example"), 3, "one invitation and two codes");
}

#[tokio::test]
async fn a_changed_role_ends_the_sessions_of_the_old_one_for_good() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let eve = rig.join(&ada, "eve@telco.example", pb::UserRole::RetExp).await;
    let session = rig.sign_in("eve@telco.example", 1).await;
    let mut people = pb::user_profile_service_client::UserProfileServiceClient::new(rig.up.channel());
    rig.clock.advance(SignedDuration::from_secs(1));
    let suspend = pb::SuspendUserRequest { id: eve.clone() };
    people.suspend_user(rig.ask(&ada, suspend)).await.unwrap();
    assert_eq!(slug(rig.resolve(&session.session_id).await), "session_ended");
    rig.clock.advance(SignedDuration::from_secs(1));
    let restore = pb::RestoreUserRequest { id: eve.clone() };
    people.restore_user(rig.ask(&ada, restore)).await.unwrap();
    assert_eq!(slug(rig.resolve(&session.session_id).await), "session_ended", "what ended stays ended");
    let session = rig.sign_in("eve@telco.example", 2).await;
    assert_eq!(rig.resolve(&session.session_id).await.unwrap().company_id, company.id);
}

#[tokio::test]
async fn all_sessions_of_a_person_end_at_once() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let (_, bob) = rig.company("Other", "bob@other.example").await;
    let eve = rig.join(&ada, "eve@telco.example", pb::UserRole::RetExp).await;
    let mut sessions = Vec::new();
    for nth in 1..4 {
        sessions.push(rig.sign_in("eve@telco.example", nth).await.session_id);
    }
    let theirs = pb::DeleteSessionsRequest { user_id: eve.clone() };
    let stranger = rig.sessions().delete_sessions(rig.ask(&bob, theirs.clone())).await;
    assert_eq!(slug(stranger), "not_found");
    let expert = person(Role::RetExp, "usr_another", Some(&company.id));
    assert_eq!(slug(rig.sessions().delete_sessions(rig.ask(&expert, theirs.clone())).await), "not_found");
    assert!(rig.resolve(&sessions[0]).await.is_ok());
    rig.sessions().delete_sessions(rig.ask(&ada, theirs)).await.unwrap();
    for id in &sessions {
        assert_eq!(slug(rig.resolve(id).await), "session_ended");
    }
    let own = rig.sign_in("eve@telco.example", 4).await;
    let me =
        Caller { session: Some(own.session_id.clone()), ..person(Role::RetExp, &eve, Some(&company.id)) };
    rig.sessions().delete_sessions(rig.ask(&me, pb::DeleteSessionsRequest::default())).await.unwrap();
    assert_eq!(slug(rig.resolve(&own.session_id).await), "session_ended");
}

#[tokio::test]
async fn an_address_that_takes_no_mail_can_be_corrected() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(rig.up.channel());
    let token = rig.invite(&ada, "evve@telco.example", pb::UserRole::RetExp, 1).await;
    let list = async |state: pb::InvitationState| {
        let wanted = pb::ListInvitationsRequest { state: state.into(), ..Default::default() };
        invitations.clone().list_invitations(rig.ask(&ada, wanted)).await.unwrap().into_inner().items
    };
    let id = list(pb::InvitationState::Sent).await[0].id.clone();
    let resend = |email: &str| pb::ResendInvitationRequest { id: id.clone(), email: email.into() };
    let early = invitations.clone().resend_invitation(rig.ask(&ada, resend("eve@telco.example"))).await;
    assert_eq!(slug(early), "wrong_state", "nothing has come back yet");
    rig.mail_failed(&company.id, &format!("invitation/{id}/1")).await;
    testkit::eventually("the state", async || {
        (!list(pb::InvitationState::Undeliverable).await.is_empty()).then_some(())
    })
    .await;
    let sent = invitations.clone().resend_invitation(rig.ask(&ada, resend("eve@telco.example"))).await;
    assert_eq!(sent.unwrap().get_ref().email, "eve@telco.example");
    let accept = |token: &str| pb::AcceptInvitationRequest {
        token: token.into(),
        email: "eve@telco.example".into(),
        ..Default::default()
    };
    let old = invitations.accept_invitation(rig.ask(&public(), accept(&token))).await;
    assert_eq!(slug(old), "not_found");
    let mail = rig.mail("eve@telco.example", "Email_Invitation_RE", 1).await;
    let token = mail["accept_link"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    invitations.accept_invitation(rig.ask(&public(), accept(&token))).await.unwrap();
}

#[tokio::test]
async fn the_signing_key_changes_and_every_token_under_way_stays_good() {
    let rig = Rig::with(&["--codes-per-account", "1000", "--sign-ins-per-address", "10000"]).await;
    let published = async || {
        let mut jwks = pb::jwks_service_client::JwksServiceClient::new(rig.up.channel());
        let set = jwks.get_jwks(rig.ask(&public(), pb::GetJwksRequest {})).await.unwrap().into_inner();
        serde_json::from_slice::<jsonwebtoken::jwk::JwkSet>(&set.data).unwrap()
    };
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let before = kid(&rig.sign_in(OPERATOR, 1).await.access_token);
    assert_eq!(published().await.keys.len(), 1);
    let wait = async |what: &str, count: usize, days_or_hours: SignedDuration| {
        rig.clock.advance(days_or_hours);
        testkit::eventually(what, async || (published().await.keys.len() == count).then_some(())).await;
    };
    wait("the next key, an hour ahead", 2, SignedDuration::from_hours(30 * 24 - 1)).await;
    assert_eq!(kid(&rig.sign_in(OPERATOR, 2).await.access_token), before, "it does not sign yet");
    rig.clock.advance(SignedDuration::from_hours(1));
    let after = testkit::eventually("the new key signs", async || {
        let token = rig.sign_in(OPERATOR, rig.mails_to(OPERATOR) + 1).await.access_token;
        rig.clock.advance(SignedDuration::from_mins(1));
        (kid(&token) != before).then(|| kid(&token))
    })
    .await;
    let set = published().await;
    assert!(set.find(&before).is_some() && set.find(&after).is_some(), "both are published for a while");
    wait("the old key goes", 1, SignedDuration::from_hours(1)).await;
    assert!(published().await.find(&after).is_some());
}
