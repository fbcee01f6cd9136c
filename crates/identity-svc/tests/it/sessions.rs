//! Sign-in, access tokens, refresh.

use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use kit::{Caller, Role};
use proto::identity as pb;

use crate::rig::{OPERATOR, Rig, person, public, slug};

async fn refresh(rig: &Rig, token: &str) -> Result<pb::SessionGrant, tonic::Status> {
    let request = pb::RefreshSessionRequest { refresh_token: token.into() };
    rig.sessions().refresh_session(rig.ask(&public(), request)).await.map(tonic::Response::into_inner)
}

async fn with_code(rig: &Rig, email: &str, code: &str) -> Result<pb::SessionGrant, tonic::Status> {
    let request = pb::CreateSessionRequest { email: email.into(), code: code.into() };
    rig.sessions().create_session(rig.ask(&public(), request)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn the_access_token_says_who_and_is_signed_with_a_published_key() {
    let rig = Rig::start().await;
    let grant = rig.sign_in(OPERATOR, 1).await;
    assert_eq!((grant.expires_in, grant.role()), (600, pb::UserRole::KaleAdmin));
    let mut jwks = pb::jwks_service_client::JwksServiceClient::new(rig.up.channel());
    let set = jwks.get_jwks(rig.ask(&public(), pb::GetJwksRequest {})).await.unwrap().into_inner();
    let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&set.data).unwrap();
    let header = jsonwebtoken::decode_header(&grant.access_token).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("at+jwt"), Algorithm::EdDSA));
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&["gateway"]);
    rules.set_issuer(&["retention-identity"]);
    let token = jsonwebtoken::decode::<serde_json::Value>(&grant.access_token, &key, &rules).unwrap();
    let claims = token.claims;
    assert_eq!(claims["sid"], grant.session_id);
    assert_eq!(claims["roles"], serde_json::json!(["kale_admin"]));
    assert_eq!(claims["amr"], serde_json::json!(["otp"]));
    assert_eq!(claims["mode"], "live");
    assert_eq!(claims.get("tid"), None, "an operator has no company");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
    rules.set_audience(&["billing-svc"]);
    assert!(jsonwebtoken::decode::<serde_json::Value>(&grant.access_token, &key, &rules).is_err());
}

#[tokio::test]
async fn a_stranger_gets_the_same_answer_and_no_mail() {
    let rig = Rig::start().await;
    let sent = with_code(&rig, "nobody@nowhere.example", "").await.unwrap();
    assert_eq!(sent.state(), pb::SessionState::CodeSent);
    let wrong = with_code(&rig, "nobody@nowhere.example", "123456").await;
    assert_eq!(slug(wrong), "sign_in_failed");
    rig.sign_in(OPERATOR, 1).await;
    assert_eq!(rig.mails_to("nobody@nowhere.example"), 0);
}

#[tokio::test]
async fn a_code_works_once_for_ten_minutes_and_five_tries() {
    let rig = Rig::start().await;
    with_code(&rig, OPERATOR, "").await.unwrap();
    let code = rig.mail(OPERATOR, "sign_in_code", 1).await["code"].as_str().unwrap().to_owned();
    assert!(with_code(&rig, OPERATOR, &code).await.is_ok());
    assert_eq!(slug(with_code(&rig, OPERATOR, &code).await), "sign_in_failed", "a used code");

    with_code(&rig, OPERATOR, "").await.unwrap();
    let code = rig.mail(OPERATOR, "sign_in_code", 2).await["code"].as_str().unwrap().to_owned();
    rig.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(slug(with_code(&rig, OPERATOR, &code).await), "sign_in_failed", "an old code");

    with_code(&rig, OPERATOR, "").await.unwrap();
    let code = rig.mail(OPERATOR, "sign_in_code", 3).await["code"].as_str().unwrap().to_owned();
    let other = if code == "000000" { "000001" } else { "000000" };
    for _ in 0..5 {
        assert_eq!(slug(with_code(&rig, OPERATOR, other).await), "sign_in_failed");
    }
    assert_eq!(slug(with_code(&rig, OPERATOR, &code).await), "sign_in_failed", "after five wrong ones");
}

#[tokio::test]
async fn codes_are_limited_per_account_and_address_alike_for_strangers() {
    let rig = Rig::with(&["--codes-per-account", "2", "--sign-ins-per-address", "5"]).await;
    for email in [OPERATOR, "nobody@nowhere.example"] {
        with_code(&rig, email, "").await.unwrap();
        with_code(&rig, email, "").await.unwrap();
        if email == OPERATOR {
            let refused = with_code(&rig, email, "").await.unwrap_err();
            let said = kit::error::said(&refused);
            assert_eq!(said.slug, "rate_limited");
            assert!(said.retry_after.is_some());
        }
    }
    assert_eq!(slug(with_code(&rig, "third@nowhere.example", "").await), "rate_limited", "per address");
    rig.clock.advance(SignedDuration::from_hours(1));
    assert!(with_code(&rig, OPERATOR, "").await.is_ok());
}

#[tokio::test]
async fn a_refresh_token_rotates_and_coming_again_ends_the_session() {
    let rig = Rig::start().await;
    let first = rig.sign_in(OPERATOR, 1).await;
    let second = refresh(&rig, &first.refresh_token).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(second.session_id, first.session_id);
    let other_tab = refresh(&rig, &first.refresh_token).await.unwrap();
    assert_eq!(other_tab.refresh_token, second.refresh_token, "within ten seconds, the same successor");
    rig.clock.advance(SignedDuration::from_secs(11));
    assert_eq!(slug(refresh(&rig, &first.refresh_token).await), "refresh_refused");
    assert_eq!(slug(refresh(&rig, &second.refresh_token).await), "refresh_refused", "the whole family");
    assert_eq!(slug(rig.resolve(&first.session_id).await), "session_ended");
}

#[tokio::test]
async fn two_tabs_refreshing_at_once_both_go_on() {
    let rig = Rig::start().await;
    let grant = rig.sign_in(OPERATOR, 1).await;
    let tabs = (0..8).map(|_| refresh(&rig, &grant.refresh_token));
    let tokens: Vec<_> =
        futures_util::future::join_all(tabs).await.into_iter().map(|g| g.unwrap().refresh_token).collect();
    assert!(tokens.iter().all(|t| *t == tokens[0]));
    assert!(refresh(&rig, &tokens[0]).await.is_ok());
}

#[tokio::test]
async fn sessions_idle_out_and_end() {
    let rig = Rig::start().await;
    let mut grant = rig.sign_in(OPERATOR, 1).await;
    for _ in 0..29 {
        rig.clock.advance(SignedDuration::from_hours(11));
        grant = refresh(&rig, &grant.refresh_token).await.unwrap();
    }
    // 29 × 11 h = 319 h; the end is at 336 h.
    for _ in 0..2 {
        rig.clock.advance(SignedDuration::from_hours(8));
        grant = refresh(&rig, &grant.refresh_token).await.unwrap();
    }
    rig.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(slug(refresh(&rig, &grant.refresh_token).await), "refresh_refused", "after fourteen days");

    let grant = rig.sign_in(OPERATOR, 2).await;
    rig.clock.advance(SignedDuration::from_hours(12));
    assert_eq!(slug(rig.resolve(&grant.session_id).await), "session_ended");
    assert_eq!(slug(refresh(&rig, &grant.refresh_token).await), "refresh_refused", "idle for twelve hours");
}

#[tokio::test]
async fn nothing_works_after_sign_out_and_strangers_sessions_are_not_there() {
    let rig = Rig::start().await;
    let grant = rig.sign_in(OPERATOR, 1).await;
    let user = rig.resolve(&grant.session_id).await.unwrap().user_id;
    let me = Caller { session: Some(grant.session_id.clone()), ..person(Role::KaleAdmin, &user, None) };
    let list = rig.sessions().list_sessions(rig.ask(&me, pb::ListSessionsRequest::default())).await.unwrap();
    assert!(list.get_ref().items.iter().any(|s| s.current && s.id == grant.session_id));

    let stranger = person(Role::RetExp, "usr_other", Some("com_other"));
    for caller in [&stranger, &person(Role::RetAdmin, "usr_other", Some("com_other"))] {
        let delete = pb::DeleteSessionRequest { id: grant.session_id.clone() };
        let outcome = rig.sessions().delete_session(rig.ask(caller, delete)).await;
        assert_eq!(slug(outcome), "not_found");
    }
    assert!(rig.resolve(&grant.session_id).await.is_ok());

    let out = pb::DeleteCurrentSessionRequest {};
    rig.sessions().delete_current_session(rig.ask(&me, out)).await.unwrap();
    assert_eq!(slug(refresh(&rig, &grant.refresh_token).await), "refresh_refused", "after sign-out");
    assert_eq!(slug(rig.resolve(&grant.session_id).await), "session_ended");
    for made_up in ["rrt_x", "../../etc/passwd", "' or 1=1"] {
        assert_eq!(slug(refresh(&rig, made_up).await), "refresh_refused");
    }
}

#[tokio::test]
async fn an_expert_of_two_companies_switches_between_them() {
    let rig = Rig::start().await;
    let (one, one_admin) = rig.company("One", "ada@one.example").await;
    let (two, two_admin) = rig.company("Two", "bob@two.example").await;
    let expert = "eve@expert.example";
    let user = rig.join(&one_admin, expert, pb::UserRole::RetExp).await;
    let token = rig.invite(&two_admin, expert, pb::UserRole::RetExp, 2).await;
    let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(rig.up.channel());
    let accept = pb::AcceptInvitationRequest { token, email: expert.into(), ..Default::default() };
    invitations.accept_invitation(rig.ask(&public(), accept)).await.unwrap();

    let grant = rig.sign_in(expert, 1).await;
    assert_eq!(grant.company_id, one.id);
    let me = Caller {
        session: Some(grant.session_id.clone()),
        ..person(Role::RetExp, &user, Some(&grant.company_id))
    };
    let switch = pb::SwitchCompanyRequest { company_id: two.id.clone() };
    let switched = rig.sessions().switch_company(rig.ask(&me, switch)).await.unwrap().into_inner();
    assert_eq!(switched.company_id, two.id);
    assert_ne!(switched.session_id, grant.session_id, "another company, another session");
    assert_eq!(slug(rig.resolve(&grant.session_id).await), "session_ended");
    assert_eq!(rig.resolve(&switched.session_id).await.unwrap().company_id, two.id);

    let (three, _) = rig.company("Three", "cyd@three.example").await;
    let me = Caller { session: Some(switched.session_id), ..me };
    let switch = pb::SwitchCompanyRequest { company_id: three.id };
    assert_eq!(slug(rig.sessions().switch_company(rig.ask(&me, switch)).await), "not_found");
}
