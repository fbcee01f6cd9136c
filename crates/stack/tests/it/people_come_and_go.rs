//! Who may do what, from the invitation to the last line of the trail.

use std::sync::Arc;
use std::time::Duration;

use identity_svc::audit::AuditStore;
use identity_svc::audit::verify::verify;
use prost::Message;
use proto::events::event::Data;
use serde_json::{Value, json};
use stack::load::api::{Api, Refused};
use stack::load::people;
use testkit::eventually;

use crate::company::Company;
use crate::world::World;

const EVE: &str = "eve@experts.example";

async fn refused(api: &Api, path: &str) -> (u16, String) {
    let e = api.get(path).await.unwrap_err();
    let refused = e.downcast_ref::<Refused>().unwrap();
    (refused.status, refused.code.clone())
}

async fn ended(api: &Api, path: &str) -> Option<()> {
    match api.get(path).await {
        Ok(_) => None,
        Err(e) => e.downcast_ref::<Refused>().filter(|r| r.status == 401).map(|_| ()),
    }
}

/// The clock of this world stands still: what ends here was heard to end, it did not grow old.
#[tokio::test]
async fn an_expert_comes_and_goes_a_key_is_rotated_and_the_trail_tells_it_all() {
    let world = World::start().await;
    let company = Company::bare(&world).await;
    let id = company.noted["company_id"].as_str().unwrap().to_owned();
    let card = json!({ "name": "Draft", "content": { "kind": "value" } });
    let drafted = company.admin.post("/v1/cards", card).await.unwrap();

    people::join(&company.public, &company.admin, &company.mailbox, (EVE, "Eve", "ret_exp")).await.unwrap();
    let eve = people::sign_in(&company.public, &company.mailbox, EVE).await.unwrap();
    let draft = format!("/v1/cards/{}", drafted["id"].as_str().unwrap());
    assert_eq!(eve.get(&draft).await.unwrap()["name"], "Draft");
    let keys = format!("/v1/companies/{id}/api-keys");
    assert_eq!(refused(&eve, &keys).await, (403, "forbidden".into()));
    let sessions = eve.get("/v1/sessions").await.unwrap();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1);

    let me = eve.get("/v1/users/me").await.unwrap()["id"].as_str().unwrap().to_owned();
    company.admin.call("DELETE", &format!("/v1/users/{me}"), None).await.unwrap();
    eventually("the end of her access", || async { ended(&eve, &draft).await }).await;
    assert_eq!(company.admin.get(&draft).await.unwrap()["name"], "Draft", "her company's drafts stay");

    let scopes = json!(["customers:read"]);
    let first = json!({ "name": "Shop", "mode": "live", "scopes": scopes });
    let first = company.admin.post(&keys, first).await.unwrap();
    let old = company.public.with_token(first["secret"].as_str().unwrap());
    assert!(old.get("/v1/customers").await.is_ok());
    let next = json!({ "name": "Shop", "mode": "live", "scopes": scopes, "replaces": first["id"], "overlap_seconds": 0 });
    let next = company.admin.post(&keys, next).await.unwrap();
    let new = company.public.with_token(next["secret"].as_str().unwrap());
    assert!(new.get("/v1/customers").await.is_ok());
    eventually("the end of the old key", || async { ended(&old, "/v1/customers").await }).await;

    let expected = [
        "invitation.create",
        "invitation.accept",
        "session.begin",
        "user.remove",
        "api_key.create",
        "api_key.rotate",
        "api_key.replaced",
    ];
    let entries = eventually("all of it in the trail", || async {
        let entries = company.admin.all("/v1/audit").await.unwrap();
        let has = |action: &str| entries.iter().any(|e| e["action"] == action);
        expected.iter().all(|action| has(action)).then_some(entries)
    })
    .await;
    let removed = entries.iter().find(|e| e["action"] == "user.remove").unwrap();
    assert_eq!((&removed["resource_id"], &removed["after"]["status"]), (&json!(me), &json!("removed")));
    let text = Value::from(entries).to_string();
    for secret in [EVE, first["secret"].as_str().unwrap(), next["secret"].as_str().unwrap()] {
        assert!(!text.contains(secret), "the trail holds no address and no secret");
    }

    let database = world.data.db("identity").await;
    let trail = AuditStore::open(&database, Arc::new(testkit::clock())).await.unwrap();
    let scope = kit::Scope::new(&id, kit::Mode::Live);
    let verdict = verify(&trail, &scope).await.unwrap();
    assert_eq!(verdict.broken, None);
    assert!(verdict.head.position >= i64::try_from(expected.len()).unwrap());
}

#[tokio::test]
async fn an_admin_who_has_the_dashboard_open_hears_at_once_what_needs_her() {
    let world = World::start().await;
    let company = Company::bare(&world).await;
    let mut stream = company.admin.open("/v1/notifications/stream").await.unwrap();
    let event = proto::events::Event {
        id: kit::id::new("evt"),
        r#type: "connection.changed".into(),
        company_id: company.noted["company_id"].as_str().unwrap().into(),
        mode: "live".into(),
        subject: "stripe".into(),
        sequence: 3,
        data: Some(Data::ConnectionChanged(proto::events::ConnectionChanged {
            provider: "stripe".into(),
            status: "degraded".into(),
            ..Default::default()
        })),
        ..Default::default()
    };
    let outgoing = kit::Outgoing {
        id: event.id.clone(),
        kind: event.r#type.clone(),
        subject: event.subject.clone(),
        scope: kit::Scope::new(&event.company_id, kit::Mode::Live),
        occurred_at: kit::Timestamp::UNIX_EPOCH,
        body: event.encode_to_vec().into(),
        traceparent: None,
    };
    bus::Bus::connect(&world.data.data).await.unwrap().publish(&[outgoing]).await.unwrap();
    let mut said = String::new();
    while !said.contains("\"kind\":\"connection_degraded\"") {
        let more = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await;
        said += std::str::from_utf8(&more.expect("a notification").unwrap().unwrap()).unwrap();
    }
    let listed = company.admin.get("/v1/notifications").await.unwrap();
    assert!(said.contains(&format!("id: {}\n", listed["items"][0]["id"].as_str().unwrap())), "{said}");
}
