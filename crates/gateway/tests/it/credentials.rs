//! Who gets in, and as whom.

use std::sync::atomic::Ordering;

use jiff::SignedDuration;
use kit::caller::{Mode, Role};
use proto::events::AccessChanged;
use proto::events::event::Data;
use serde_json::json;

use crate::world::{FLOW, SECRET, World, problem};

#[tokio::test]
async fn a_person_acts_for_the_own_company_in_the_mode_asked_for() {
    let world = World::new().await;
    let sent = world
        .admin("GET", "/v1/cards/crd_1")
        .header("retention-mode", "test")
        .header("x-request-id", "req_from-outside")
        .send();
    let response = sent.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-request-id"], "req_from-outside");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let asked = world.asked();
    let (rpc, caller, _) = &asked[0];
    assert_eq!(rpc, "retention.content.v1.CardService.GetCard");
    let scope = caller.scope.as_ref().unwrap();
    assert_eq!((scope.company.as_str(), scope.mode, caller.role), ("com_1", Mode::Test, Role::RetAdmin));
    assert_eq!((caller.actor.id.as_str(), caller.session.as_deref()), ("usr_1", Some("ses_1")));
}

#[tokio::test]
async fn tokens_that_must_fail_fail() {
    let world = World::new().await;
    let now = kit::Clock::now(&world.clock).as_second();
    let good = world.token(&json!({}));
    let (head, rest) = good.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    let mut others = signature.to_owned();
    let first = if others.starts_with('A') { "B" } else { "A" };
    others.replace_range(0..1, first);
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let bad = [
        ("expired", world.token(&json!({ "exp": now - 1 }))),
        ("not yet valid", world.token(&json!({ "nbf": now + 600 }))),
        ("of another issuer", world.token(&json!({ "iss": "somebody" }))),
        ("for somebody else", world.token(&json!({ "aud": "billing-svc" }))),
        ("without a session", world.token(&json!({ "sid": null }))),
        ("of a session that ended", world.token(&json!({ "sid": "ses_2" }))),
        ("of another user's session", world.token(&json!({ "sub": "usr_2" }))),
        ("an inner token", world.signed("inner+jwt", &json!({}))),
        ("of another kind", world.signed("JWT", &json!({}))),
        ("with its signature changed", format!("{head}.{claims}.{others}")),
        ("without a signature", format!("{head}.{claims}.")),
        ("that says it needs none", format!("{none}.{claims}.")),
        ("no token", "x".repeat(5000)),
        ("empty", String::new()),
    ];
    for (what, token) in bad {
        let response = world.request("GET", "/v1/cards/crd_1").bearer_auth(&token).send().await.unwrap();
        assert_eq!(
            response.headers().get("www-authenticate").map(|v| v.to_str().unwrap()),
            Some("Bearer"),
            "{what}"
        );
        let (status, ..) = problem(response).await;
        assert_eq!(status, 401, "a token {what}");
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn an_ended_session_is_out_within_seconds_and_a_service_that_is_down_locks_nobody_out() {
    let world = World::new().await;
    let token = world.token(&json!({}));
    let ask = async || {
        world.request("GET", "/v1/cards/crd_1").bearer_auth(&token).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask().await, 200);
    let asked = world.behind.resolved.load(Ordering::SeqCst);
    assert_eq!(ask().await, 200);
    assert_eq!(world.behind.resolved.load(Ordering::SeqCst), asked, "kept for some seconds");
    world.behind.person.lock().unwrap().session_id = "ses_9".into();
    world.clock.advance(SignedDuration::from_secs(11));
    assert_eq!(ask().await, 401);
}

#[tokio::test]
async fn what_is_heard_to_be_revoked_is_out_at_once() {
    let world = World::new().await;
    let token = world.token(&json!({}));
    let ask = async |bearer: &str| {
        world.request("GET", "/v1/cards/crd_1").bearer_auth(bearer).send().await.unwrap().status().as_u16()
    };
    // The clock stands still: nothing kept grows old by itself.
    let told = async |changed: AccessChanged| {
        world.tell("access.changed", "x", Data::AccessChanged(changed)).await;
    };
    assert_eq!(ask(&token).await, 200);
    let resolved = || world.behind.resolved.load(Ordering::SeqCst);
    let before = resolved();
    for other in [
        AccessChanged { session_id: "ses_2".into(), ..Default::default() },
        AccessChanged { user_id: "usr_2".into(), ..Default::default() },
    ] {
        told(other).await;
    }
    assert_eq!((ask(&token).await, resolved()), (200, before), "others' changes cost nothing");
    world.behind.person.lock().unwrap().session_id = "ses_9".into();
    assert_eq!(ask(&token).await, 200, "not heard of yet");
    told(AccessChanged { session_id: "ses_1".into(), ..Default::default() }).await;
    testkit::eventually("the session to end", async || (ask(&token).await == 401).then_some(())).await;
    assert_eq!(ask(SECRET).await, 200);
    world.behind.scopes.lock().unwrap().clear();
    told(AccessChanged { key_id: "key_1".into(), ..Default::default() }).await;
    testkit::eventually("the key to end", async || (ask(SECRET).await == 403).then_some(())).await;
}

#[tokio::test]
async fn roles_and_scopes_decide() {
    let world = World::new().await;
    world.behind.person.lock().unwrap().role = "ret_exp".into();
    world.behind.person.lock().unwrap().grants.clear();
    let published = world.admin("POST", "/v1/cards/crd_1/publish").json(&json!({})).send().await.unwrap();
    let (status, code, _) = problem(published).await;
    assert_eq!((status, code.as_str()), (403, "forbidden"), "an expert without the grant");
    // A key may read published content and write nothing there.
    let read = world.request("GET", "/v1/cards/crd_1").bearer_auth(SECRET).send().await.unwrap();
    assert_eq!(read.status(), 200);
    assert_eq!(world.asked()[0].1.role, Role::Machine);
    let written =
        world.request("POST", "/v1/cards").bearer_auth(SECRET).json(&json!({})).send().await.unwrap();
    let (status, code, _) = problem(written).await;
    assert_eq!((status, code.as_str()), (403, "scope_missing"));
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn a_flow_token_opens_its_own_session_and_no_other_door() {
    let world = World::new().await;
    let ask = async |path: &str| world.request("GET", path).bearer_auth(FLOW).send().await.unwrap();
    assert_eq!(ask("/v1/flow/sessions/fls_1").await.status(), 200);
    assert_eq!(world.asked()[0].1.role, Role::Widget);
    assert_eq!(problem(ask("/v1/flow/sessions/fls_2").await).await.0, 404);
    assert_eq!(problem(ask("/v1/customers").await).await.0, 403);
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn an_operator_names_company_and_reason() {
    let world = World::new().await;
    {
        let mut person = world.behind.person.lock().unwrap();
        (person.role, person.company_id) = ("kale_admin".into(), String::new());
    }
    let ask = || world.admin("GET", "/v1/cards/crd_1");
    let (status, code, _) = problem(ask().send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (400, "company_required"));
    let (status, code, _) = problem(ask().header("retention-company", "com_7").send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (400, "reason_required"));
    let named = ask().header("retention-company", "com_7").header("retention-reason", "ticket 12");
    assert_eq!(named.send().await.unwrap().status(), 200);
    let asked = world.asked();
    assert_eq!(asked[0].1.scope.as_ref().unwrap().company, "com_7");
    assert_eq!(asked[0].1.reason.as_deref(), Some("ticket 12"));
}

#[tokio::test]
async fn people_act_in_the_modes_their_company_has_enabled() {
    let world = World::new().await;
    world.behind.person.lock().unwrap().modes = vec!["test".into()];
    let ask = || world.admin("GET", "/v1/cards/crd_1");
    assert_eq!(ask().send().await.unwrap().status(), 200);
    assert_eq!(world.asked()[0].1.scope.as_ref().unwrap().mode, kit::Mode::Test, "the only one there is");
    let (status, code, _) = problem(ask().header("retention-mode", "live").send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (403, "mode_disabled"));
}

#[tokio::test]
async fn a_suspended_company_reads_and_writes_nothing() {
    let world = World::new().await;
    world.behind.person.lock().unwrap().company_status = "suspended".into();
    assert_eq!(world.admin("GET", "/v1/cards/crd_1").send().await.unwrap().status(), 200);
    let (status, code, _) =
        problem(world.admin("POST", "/v1/cards/crd_1/duplicate").json(&json!({})).send().await.unwrap())
            .await;
    assert_eq!((status, code.as_str()), (403, "company_suspended"));
}
