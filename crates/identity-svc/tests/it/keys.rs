//! API keys, and how services look companies up.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::SignedDuration;
use kit::Caller;
use kit::clock::Clock as _;
use proto::identity as pb;

use crate::rig::{Rig, slug};

async fn resolve(rig: &Rig, secret: &str) -> Result<pb::ResolvedKey, tonic::Status> {
    let hash = digest(&SHA256, secret.as_bytes()).as_ref().to_vec();
    let gateway = Caller::internal("gateway", None);
    let request = rig.ask(&gateway, pb::ResolveApiKeyRequest { hash: hash.into() });
    rig.directory().resolve_api_key(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_key_is_shown_once_and_works_until_it_expires_or_is_revoked() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut keys = pb::api_key_service_client::ApiKeyServiceClient::new(rig.up.channel());
    let create = |mode: pb::KeyMode, expires_at| pb::CreateApiKeyRequest {
        id: company.id.clone(),
        name: "Shop".into(),
        mode: mode.into(),
        scopes: vec!["events:write".into()],
        expires_at,
        ..Default::default()
    };
    let live =
        keys.create_api_key(rig.ask(&ada, create(pb::KeyMode::Live, None))).await.unwrap().into_inner();
    assert!(live.secret.starts_with("rsk_live_") && live.secret.len() == 52);
    let resolved = resolve(&rig, &live.secret).await.unwrap();
    assert_eq!((resolved.company_id.as_str(), resolved.mode.as_str()), (company.id.as_str(), "live"));
    assert_eq!((resolved.scopes, resolved.company_status), (vec!["events:write".into()], "active".into()));
    let hour = rig.clock.now().checked_add(SignedDuration::from_hours(1)).unwrap();
    let test = create(pb::KeyMode::Test, Some(kit::time::to_proto(hour)));
    let test = keys.create_api_key(rig.ask(&ada, test)).await.unwrap().into_inner();
    assert_eq!(resolve(&rig, &test.secret).await.unwrap().mode, "test");
    let past = create(pb::KeyMode::Test, Some(kit::time::to_proto(kit::Timestamp::UNIX_EPOCH)));
    assert_eq!(slug(keys.create_api_key(rig.ask(&ada, past)).await), "invalid_request");
    let list = pb::ListApiKeysRequest { id: company.id.clone() };
    let listed = keys.list_api_keys(rig.ask(&ada, list)).await.unwrap().into_inner();
    assert_eq!(listed.items.len(), 2);
    assert!(listed.items.iter().all(|k| k.secret.is_empty() && k.last_used_at.is_some()));
    rig.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(slug(resolve(&rig, &test.secret).await), "invalid_api_key", "expired");
    let revoke = pb::DeleteApiKeyRequest { id: company.id.clone(), kid: live.id };
    keys.delete_api_key(rig.ask(&ada, revoke.clone())).await.unwrap();
    keys.delete_api_key(rig.ask(&ada, revoke)).await.unwrap();
    assert_eq!(slug(resolve(&rig, &live.secret).await), "invalid_api_key", "revoked");
    assert_eq!(slug(resolve(&rig, "rsk_live_made_up").await), "invalid_api_key");
}

#[tokio::test]
async fn a_rotated_key_works_beside_its_successor_for_a_while() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut keys = pb::api_key_service_client::ApiKeyServiceClient::new(rig.up.channel());
    let create = |replaces: &str, mode: pb::KeyMode| pb::CreateApiKeyRequest {
        id: company.id.clone(),
        name: "Shop".into(),
        mode: mode.into(),
        scopes: vec!["events:write".into()],
        replaces: replaces.into(),
        overlap_seconds: Some(600),
        ..Default::default()
    };
    let old = create("", pb::KeyMode::Live);
    let old = keys.create_api_key(rig.ask(&ada, old)).await.unwrap().into_inner();
    let other_mode = create(&old.id, pb::KeyMode::Test);
    assert_eq!(slug(keys.create_api_key(rig.ask(&ada, other_mode)).await), "not_found");
    let rotate = create(&old.id, pb::KeyMode::Live);
    let new = keys.create_api_key(rig.ask(&ada, rotate.clone())).await.unwrap().into_inner();
    assert_eq!(new.replaces, old.id);
    assert_eq!(slug(keys.create_api_key(rig.ask(&ada, rotate)).await), "already_replaced");
    for secret in [&old.secret, &new.secret] {
        assert!(resolve(&rig, secret).await.is_ok());
    }
    rig.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(slug(resolve(&rig, &old.secret).await), "invalid_api_key", "the overlap is over");
    assert!(resolve(&rig, &new.secret).await.is_ok());
}

#[tokio::test]
async fn keys_of_a_disabled_mode_do_not_work_and_uploads_need_the_company_s_switch() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut keys = pb::api_key_service_client::ApiKeyServiceClient::new(rig.up.channel());
    let mut companies = pb::company_service_client::CompanyServiceClient::new(rig.up.channel());
    let create = pb::CreateApiKeyRequest {
        id: company.id.clone(),
        name: "Shop".into(),
        mode: pb::KeyMode::Test.into(),
        scopes: vec!["events:write".into(), "usage:write".into()],
        ..Default::default()
    };
    let key = keys.create_api_key(rig.ask(&ada, create.clone())).await.unwrap().into_inner();
    assert_eq!(resolve(&rig, &key.secret).await.unwrap().scopes, ["events:write"], "uploads are off");
    let change = pb::UpdateCompanyRequest {
        id: company.id.clone(),
        version: company.version,
        modes: vec!["live".into()],
        product_upload_enabled: Some(true),
        update_mask: Some(prost_types::FieldMask { paths: vec!["modes".into()] }),
        ..Default::default()
    };
    companies.update_company(rig.ask(&ada, change)).await.unwrap();
    assert_eq!(slug(resolve(&rig, &key.secret).await), "invalid_api_key");
    assert_eq!(slug(keys.create_api_key(rig.ask(&ada, create)).await), "mode_disabled");
}

#[tokio::test]
async fn unknown_scopes_and_missing_names_are_refused() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let mut keys = pb::api_key_service_client::ApiKeyServiceClient::new(rig.up.channel());
    let wrong = pb::CreateApiKeyRequest {
        id: company.id,
        mode: pb::KeyMode::Live.into(),
        scopes: vec!["everything".into()],
        ..Default::default()
    };
    let refused = keys.create_api_key(rig.ask(&ada, wrong)).await.unwrap_err();
    let mut fields: Vec<_> = kit::error::said(&refused).fields.into_iter().map(|f| f.field).collect();
    fields.sort();
    assert_eq!(fields, ["name", "scopes[0]"]);
}

#[tokio::test]
async fn a_company_is_found_by_id_slug_and_public_key() {
    let rig = Rig::start().await;
    let (company, _) = rig.company("Telco Demo", "ada@telco.example").await;
    let gateway = Caller::internal("gateway", None);
    for key in [&company.id, &company.slug, &company.public_key] {
        let ask = pb::ResolveCompanyRequest { key: key.clone() };
        let found = rig.directory().resolve_company(rig.ask(&gateway, ask)).await.unwrap().into_inner();
        assert_eq!((found.company_id.as_str(), found.slug.as_str()), (company.id.as_str(), "telco-demo"));
    }
    assert!(company.public_key.starts_with("cpk_"));
    let ask = pb::ResolveCompanyRequest { key: "nobody".into() };
    assert_eq!(slug(rig.directory().resolve_company(rig.ask(&gateway, ask)).await), "not_found");
}
