//! Settings and flags: who may change them, what holds, how soon, and what becomes of the old values.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use kit::client::Upstream;
use kit::clock::Clock as _;
use kit::{Caller, Mode, Role, Scope};
use proto::identity as pb;
use serde_json::{Value, json};

use crate::rig::{Rig, person, public, slug};

type Config = pb::global_config_service_client::GlobalConfigServiceClient<tonic::transport::Channel>;

fn config(up: &Upstream) -> Config {
    Config::new(up.channel())
}

fn wish(key: &str, version: i64, value: &Value) -> pb::PutConfigRequest {
    pb::PutConfigRequest {
        key: key.into(),
        version,
        value: (!value.is_null()).then(|| proto::json::to_wire(value)),
        rollout: None,
    }
}

async fn put(
    rig: &Rig,
    caller: &Caller,
    key: &str,
    version: i64,
    value: Value,
) -> Result<pb::ConfigValue, tonic::Status> {
    let put = config(&rig.up).put_config(rig.ask(caller, wish(key, version, &value))).await;
    put.map(tonic::Response::into_inner)
}

async fn effective(up: &Upstream, caller: &Caller) -> pb::EffectiveConfig {
    let ask = up.request(caller, crate::rig::WAIT, pb::GetEffectiveConfigRequest {}).unwrap();
    config(up).get_effective_config(ask).await.unwrap().into_inner()
}

async fn holds(rig: &Rig, caller: &Caller, key: &str) -> (Value, pb::ConfigSource) {
    let all = effective(&rig.up, caller).await;
    let item = all.items.into_iter().find(|i| i.key == key).unwrap();
    let source = item.source();
    (proto::json::from_wire(item.value.unwrap()), source)
}

fn acting(operator: &Caller, company: &str) -> Caller {
    Caller {
        scope: Some(Scope::new(company, Mode::Live)),
        reason: Some("they asked on the phone".into()),
        ..operator.clone()
    }
}

#[tokio::test]
async fn the_company_s_value_goes_before_the_installation_s_and_that_before_the_default() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let operator = rig.operator().await;
    let key = "invitation.lifetime_days";
    assert_eq!(holds(&rig, &ada, key).await, (json!(7), pb::ConfigSource::Default));
    put(&rig, &operator, key, 0, json!(10)).await.unwrap();
    assert_eq!(holds(&rig, &ada, key).await, (json!(10), pb::ConfigSource::Platform));
    let own = put(&rig, &ada, key, 0, json!(2)).await.unwrap();
    assert_eq!(
        (own.version, own.source(), own.changed_by),
        (1, pb::ConfigSource::Company, ada.actor.id.clone())
    );
    assert_eq!(holds(&rig, &ada, key).await, (json!(2), pb::ConfigSource::Company));
    // It acts: who is invited now has two days.
    let token = rig.invite(&ada, "eve@telco.example", pb::UserRole::RetExp, 1).await;
    rig.clock.advance(SignedDuration::from_hours(49));
    let accept =
        pb::AcceptInvitationRequest { token, email: "eve@telco.example".into(), ..Default::default() };
    let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(rig.up.channel());
    assert_eq!(slug(invitations.accept_invitation(rig.ask(&public(), accept)).await), "invitation_expired");
    // Taken away again, what is above holds; another company never had any of it.
    put(&rig, &ada, key, 1, Value::Null).await.unwrap();
    assert_eq!(holds(&rig, &ada, key).await, (json!(10), pb::ConfigSource::Platform));
    let named = rig.ask(&acting(&operator, &company.id), pb::ListConfigRequest {});
    let all = config(&rig.up).list_config(named).await.unwrap().into_inner().items;
    let listed = all.iter().find(|s| s.key == key).unwrap();
    let (above, own) = (listed.platform.clone().unwrap(), listed.company.clone().unwrap());
    assert_eq!((above.version, own.version, own.value), (1, 2, None));
    assert_eq!((listed.min, listed.max, listed.editor()), (Some(1), Some(30), pb::ConfigEditor::Company));
}

#[tokio::test]
async fn only_who_may_changes_a_setting_and_only_to_what_it_takes() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let operator = rig.operator().await;
    let expert = person(Role::RetExp, "usr_eve", Some(&company.id));
    let refused =
        async |caller: &Caller, key: &str, value: Value| slug(put(&rig, caller, key, 0, value).await);
    assert_eq!(refused(&ada, "made.up", json!(1)).await, "not_found");
    assert_eq!(refused(&ada, "session.idle_hours", json!(0)).await, "invalid_request");
    assert_eq!(refused(&ada, "session.idle_hours", json!("four")).await, "invalid_request");
    assert_eq!(refused(&ada, "sign_in.codes_per_account", json!(5)).await, "forbidden");
    assert_eq!(refused(&ada, "feature.experiments", json!(true)).await, "forbidden");
    assert_eq!(refused(&expert, "session.idle_hours", json!(1)).await, "forbidden");
    let named = acting(&operator, &company.id);
    assert_eq!(
        refused(&named, "sign_in.codes_per_account", json!(5)).await,
        "forbidden",
        "of the installation only"
    );
    let silent = Caller { reason: None, ..named.clone() };
    assert_eq!(refused(&silent, "feature.experiments", json!(true)).await, "reason_required");
    put(&rig, &named, "feature.experiments", 0, json!(true)).await.unwrap();
    // Version-checked: of two who read the same, one is told.
    put(&rig, &ada, "session.idle_hours", 0, json!(4)).await.unwrap();
    assert_eq!(refused(&ada, "session.idle_hours", json!(5)).await, "stale_version");
    let (one, two) = (wish("session.idle_hours", 1, &json!(6)), wish("session.idle_hours", 1, &json!(7)));
    let (mut left, mut right) = (config(&rig.up), config(&rig.up));
    let raced =
        futures_util::join!(left.put_config(rig.ask(&ada, one)), right.put_config(rig.ask(&ada, two)));
    assert!(raced.0.is_ok() != raced.1.is_ok(), "{raced:?}");
    let lost = if raced.0.is_err() { raced.0 } else { raced.1 };
    assert_eq!(slug(lost), "stale_version");
    // A company may shorten, not lengthen, and the installation binds also what was set before.
    put(&rig, &operator, "session.idle_hours", 0, json!(3)).await.unwrap();
    assert_eq!(holds(&rig, &ada, "session.idle_hours").await, (json!(3), pb::ConfigSource::Platform));
    let wide = put(&rig, &ada, "session.idle_hours", 2, json!(4)).await;
    assert_eq!(slug(wide), "invalid_request");
}

#[tokio::test]
async fn every_change_is_kept_and_an_old_value_comes_back_as_a_new_version() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let (_, bob) = rig.company("Other", "bob@other.example").await;
    let operator = rig.operator().await;
    let key = "dashboard.theme";
    put(&rig, &ada, key, 0, json!("dark")).await.unwrap();
    put(&rig, &ada, key, 1, json!("light")).await.unwrap();
    let named = acting(&operator, &company.id);
    let back = |version, to_version| pb::RollbackConfigRequest { key: key.into(), version, to_version };
    let missing = config(&rig.up).rollback_config(rig.ask(&named, back(2, 9))).await;
    assert_eq!(slug(missing), "not_found");
    let stale = config(&rig.up).rollback_config(rig.ask(&named, back(1, 1))).await;
    assert_eq!(slug(stale), "stale_version");
    let done = config(&rig.up).rollback_config(rig.ask(&named, back(2, 1))).await.unwrap().into_inner();
    assert_eq!((done.version, done.value), (3, Some(proto::json::to_wire(&json!("dark")))));
    assert_eq!(holds(&rig, &ada, key).await.0, json!("dark"));
    let ask = pb::ListConfigHistoryRequest { key: key.into(), limit: 2, cursor: String::new() };
    let page = config(&rig.up).list_config_history(rig.ask(&ada, ask.clone())).await.unwrap().into_inner();
    let versions: Vec<_> = page.items.iter().map(|c| (c.version, c.rolled_back_to)).collect();
    assert_eq!(versions, [(3, Some(1)), (2, None)]);
    assert_eq!(
        (page.items[0].role.as_str(), page.items[0].reason.as_str()),
        ("kale_admin", "they asked on the phone")
    );
    let rest = pb::ListConfigHistoryRequest { cursor: page.next_cursor, ..ask.clone() };
    let rest = config(&rig.up).list_config_history(rig.ask(&ada, rest)).await.unwrap().into_inner();
    assert_eq!((rest.items.len(), rest.items[0].version, rest.items[0].before.clone()), (1, 1, None));
    // Nobody else's business, and in the audit trail.
    let other = config(&rig.up).list_config_history(rig.ask(&bob, ask)).await.unwrap().into_inner();
    assert!(other.items.is_empty());
    assert_eq!(holds(&rig, &bob, key).await.0, json!("system"));
    let audit = pb::audit_service_client::AuditServiceClient::new(rig.up.channel());
    let search = pb::ListAuditEntriesRequest { resource: "config".into(), ..Default::default() };
    let actions = testkit::eventually("the audit entries", async || {
        let found =
            audit.clone().list_audit_entries(rig.ask(&ada, search.clone())).await.unwrap().into_inner();
        let actions: Vec<_> = found.items.into_iter().map(|e| e.action).collect();
        (actions.len() == 3).then_some(actions)
    });
    assert!(actions.await.contains(&"config.rollback".to_owned()));
}

#[tokio::test]
async fn a_flag_is_rolled_out_and_a_company_s_own_value_decides_for_itself() {
    let rig = Rig::start().await;
    let (company, ada) = rig.company("Telco", "ada@telco.example").await;
    let operator = rig.operator().await;
    let flag = async |caller: &Caller| effective(&rig.up, caller).await.flags["feature.win_back"];
    assert!(!flag(&ada).await);
    let place = identity_svc::global_config::bucket("feature.win_back", &company.id);
    let roll = async |version, percent| {
        let wish = pb::PutConfigRequest {
            rollout: Some(percent),
            ..wish("feature.win_back", version, &json!(true))
        };
        config(&rig.up).put_config(rig.ask(&operator, wish)).await.unwrap();
    };
    roll(0, place).await;
    assert!(!flag(&ada).await, "just below its place");
    roll(1, place + 1).await;
    assert!(flag(&ada).await);
    let named = acting(&operator, &company.id);
    put(&rig, &named, "feature.win_back", 0, json!(false)).await.unwrap();
    assert!(!flag(&ada).await);
    let test = Caller { scope: Some(Scope::new(&company.id, Mode::Test)), ..ada.clone() };
    assert!(flag(&test).await, "live and test are apart");
    let share = pb::PutConfigRequest { rollout: Some(5), ..wish("feature.win_back", 1, &json!(true)) };
    assert_eq!(slug(config(&rig.up).put_config(rig.ask(&named, share)).await), "invalid_request");
}

/// Calls until the new value is seen; no call that began two seconds after the change may see the old one.
async fn in_effect_within_two_seconds(replica: &Upstream, caller: &Caller, want: &Value) -> Duration {
    let changed = Instant::now();
    loop {
        let asked = changed.elapsed();
        let all = effective(replica, caller).await;
        let item = all.items.into_iter().find(|i| i.key == "dashboard.notice").unwrap();
        if &proto::json::from_wire(item.value.unwrap()) == want {
            return asked;
        }
        assert!(asked < Duration::from_secs(2), "still the old value after {asked:?}");
    }
}

#[tokio::test]
async fn a_change_is_in_effect_at_every_replica_within_two_seconds_also_without_nats() {
    let mut rig = Rig::start().await;
    let (_, ada) = rig.company("Telco", "ada@telco.example").await;
    let operator = rig.operator().await;
    let (hearing, deaf) = (rig.replica(false).await, rig.replica(true).await);
    for (version, text) in ["one", "two", "three"].into_iter().enumerate() {
        for replica in [&hearing, &deaf] {
            effective(replica, &ada).await;
        }
        let version = i64::try_from(version).unwrap();
        put(&rig, &operator, "dashboard.notice", version, json!(text)).await.unwrap();
        in_effect_within_two_seconds(&rig.up, &ada, &json!(text)).await;
        in_effect_within_two_seconds(&hearing, &ada, &json!(text)).await;
        in_effect_within_two_seconds(&deaf, &ada, &json!(text)).await;
    }
}

#[tokio::test]
async fn the_rooms_do_as_the_settings_say() {
    let rig = Rig::start().await;
    let (_, ada) = rig.company("Telco", "ada@telco.example").await;
    let operator = rig.operator().await;
    put(&rig, &ada, "invitation.allowed_domains", 0, json!(["telco.example"])).await.unwrap();
    let mut invitations = pb::invitation_service_client::InvitationServiceClient::new(rig.up.channel());
    let invite = |email: &str| pb::CreateInvitationRequest {
        email: email.into(),
        role: pb::UserRole::RetExp.into(),
        ..Default::default()
    };
    let strange = invitations.create_invitation(rig.ask(&ada, invite("eve@elsewhere.example"))).await;
    assert_eq!(slug(strange), "invalid_request");
    let invited = invitations.create_invitation(rig.ask(&ada, invite("eve@telco.example"))).await;
    let id = invited.unwrap().into_inner().id;
    let named = acting(&operator, &ada.scope.clone().unwrap().company);
    put(&rig, &named, "invitation.max_resends", 0, json!(1)).await.unwrap();
    let again = pb::ResendInvitationRequest { id, ..Default::default() };
    invitations.resend_invitation(rig.ask(&ada, again.clone())).await.unwrap();
    assert_eq!(slug(invitations.resend_invitation(rig.ask(&ada, again)).await), "wrong_state");
    put(&rig, &ada, "api_key.max_lifetime_days", 0, json!(30)).await.unwrap();
    let mut api_keys = pb::api_key_service_client::ApiKeyServiceClient::new(rig.up.channel());
    let company = ada.scope.clone().unwrap().company;
    let key = |days: Option<i64>| pb::CreateApiKeyRequest {
        id: company.clone(),
        name: "Shop".into(),
        mode: pb::KeyMode::Live.into(),
        scopes: vec!["events:write".into()],
        expires_at: days.map(|d| kit::time::to_proto(kit::time::add_days(rig.clock.now(), d))),
        ..Default::default()
    };
    assert_eq!(slug(api_keys.create_api_key(rig.ask(&ada, key(Some(31)))).await), "invalid_request");
    let made = api_keys.create_api_key(rig.ask(&ada, key(None))).await.unwrap().into_inner();
    let ends = kit::time::from_proto(&made.expires_at.unwrap()).unwrap();
    assert!(
        ends > kit::time::add_days(rig.clock.now(), 29) && ends <= kit::time::add_days(rig.clock.now(), 30)
    );
    put(&rig, &ada, "session.idle_hours", 0, json!(1)).await.unwrap();
    let grant = rig.sign_in("ada@telco.example", 1).await;
    rig.clock.advance(SignedDuration::from_mins(59));
    assert!(rig.resolve(&grant.session_id).await.is_ok());
    rig.clock.advance(SignedDuration::from_mins(2));
    assert_eq!(slug(rig.resolve(&grant.session_id).await), "session_ended", "at {}", rig.clock.now());
    put(&rig, &operator, "sign_in.codes_per_account", 0, json!(1)).await.unwrap();
    let ask = pb::CreateSessionRequest { email: "new@telco.example".into(), code: String::new() };
    rig.sessions().create_session(rig.ask(&public(), ask.clone())).await.unwrap();
    assert_eq!(slug(rig.sessions().create_session(rig.ask(&public(), ask)).await), "rate_limited");
}
